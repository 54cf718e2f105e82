/// The labels that snapshots carry to and from containerd's clients.
#pragma once

#include <optional>
#include <string>
#include <string_view>

#include "base/status.h"
#include "snapshotter/layer_mounter.h"
#include "snapshotter/snapshot.h"

namespace starling::snapshotter {

/// What the labels of an extraction Prepare say about its layer. The labels of CRI and of
/// containerd's own unpacker (`containerd.io/snapshot/cri.*`) count before stargz's
/// (`.../remote/stargz.*`). All of them come from an image's author: a digest that does not parse
/// is an error, one in the list of neighbours and a wish to prefetch are left out. URLs and wishes
/// to skip verification are not read at all. A layer without a TOC digest is a plain one. Errors
/// say why the layer cannot be shown: kNotFound without an image reference or layer digest;
/// kInvalidArgument and kUnimplemented for values that cannot be used.
StatusOr<LayerRequest> LayerRequestFromLabels(const Labels& labels);

/// Who is going to read a snapshot that is prepared with `labels`.
Reader ReaderOf(const Labels& labels);

/// The snapshot.ref of an extraction Prepare; none on others.
std::optional<std::string> SnapshotRefOf(const Labels& labels);

/// The chain ID that a committed snapshot stands for: what its client asked for when it was
/// prepared as a layer, or what a client that unpacked it itself named it after (containerd puts
/// namespace and number in front). Nothing for other snapshots.
std::optional<oci::Digest> ChainIdOf(const Info& snapshot);

/// The chain ID that a name or a snapshot.ref ends in.
std::optional<oci::Digest> ChainIdIn(std::string_view name);

/// The name under which a lazy layer is committed: a function of ref and parent, so that the same
/// chain ID over two parents (one lazy, one unpacked) makes two snapshots. A ref of a client
/// without names of its own is the name itself.
std::string RemoteSnapshotName(std::string_view snapshot_ref, std::string_view parent);

}  // namespace starling::snapshotter
