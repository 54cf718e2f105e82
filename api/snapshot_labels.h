/// Labels that containerd, its clients and remote snapshotters know each other by. What begins with
/// "containerd.io/snapshot" is passed on to the snapshotter.
/// Source: containerd core/snapshots and core/unpack; stargz-snapshotter, fs/source.
#pragma once

#include <string_view>

namespace starling::api::snapshot_label {

/// On an extraction Prepare: the name that the committed snapshot is asked for by.
inline constexpr std::string_view kRef = "containerd.io/snapshot.ref";
/// Snapshots of clients that keep no names of their own for them begin with it: such a name, and
/// what kRef asks for, is the snapshot's own. Who lists all to remove what it does not know does
/// not see them.
inline constexpr std::string_view kStandalonePrefix = "standalone/";
/// On every snapshot that shows a lazy layer. BuildKit looks for the key, stargz's clients for the
/// value.
inline constexpr std::string_view kRemote = "containerd.io/snapshot/remote";
inline constexpr std::string_view kRemoteValue = "remote snapshot";

/// On a container's Prepare: how its user namespace maps IDs, as CONTAINER:HOST:COUNT[,...].
inline constexpr std::string_view kUidMapping = "containerd.io/snapshot/uidmapping";
inline constexpr std::string_view kGidMapping = "containerd.io/snapshot/gidmapping";

/// On a Prepare: what the snapshot is for, when that is not a container. A step of a build reads
/// little of its base, and once: nothing of the layers is fetched that no step reads, until a
/// container is started on them.
inline constexpr std::string_view kFor = "containerd.io/snapshot/starling/for";
inline constexpr std::string_view kForBuild = "build";

/// Which layer of which image is about to be unpacked, as CRI and containerd's own unpacker say it.
inline constexpr std::string_view kCriImageRef = "containerd.io/snapshot/cri.image-ref";
inline constexpr std::string_view kCriManifestDigest = "containerd.io/snapshot/cri.manifest-digest";
inline constexpr std::string_view kCriLayerDigest = "containerd.io/snapshot/cri.layer-digest";
/// This layer and those above it, comma separated.
inline constexpr std::string_view kCriImageLayers = "containerd.io/snapshot/cri.image-layers";
/// The same as stargz's clients say it.
inline constexpr std::string_view kStargzReference =
    "containerd.io/snapshot/remote/stargz.reference";
inline constexpr std::string_view kStargzDigest = "containerd.io/snapshot/remote/stargz.digest";
inline constexpr std::string_view kStargzLayers = "containerd.io/snapshot/remote/stargz.layers";
/// Of an image whose client knows its manifest, this layer and those above it that can be lazy, as
/// LAYER=TOC with the digests of blobs and of their TOCs' JSON, comma separated: the snapshotter
/// need not ask the registry for them.
inline constexpr std::string_view kLazyLayers = "containerd.io/snapshot/starling/lazy-layers";
/// How many bytes of the blob's front to prefetch, in decimal.
inline constexpr std::string_view kStargzPrefetch = "containerd.io/snapshot/remote/stargz.prefetch";

}  // namespace starling::api::snapshot_label
