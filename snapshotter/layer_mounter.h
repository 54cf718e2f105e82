#pragma once

#include <filesystem>
#include <optional>
#include <span>
#include <string>
#include <utility>
#include <vector>

#include "base/status.h"
#include "oci/digest.h"
#include "oci/toc_digest.h"

namespace starling::snapshotter {

/// Who is going to read a snapshot.
enum class Reader { kContainer, kBuild };

/// What the labels of an extraction Prepare say about a layer.
struct LayerRequest {
  std::string image_reference;
  oci::Digest layer;
  oci::Digest toc;  // the layer's own digest for a plain one: oci::IsPlain
  /// What `toc` is the digest of. Not kept over a restart: a layer on disk was proven.
  oci::TocDigestOf toc_of = oci::TocDigestOf::kJson;
  /// The layers of the same image, this one included, as far as the labels name them; bottom first.
  std::vector<oci::Digest> image_layers;
  /// Those that can be lazy of this layer and the ones above it, bottom first, with the digests of
  /// their TOCs' JSON, when the client names them all. Not kept over a restart.
  std::vector<std::pair<oci::Digest, oci::Digest>> lazy_layers;
  /// Of the image's manifest, when the client names it.
  std::optional<oci::Digest> manifest;
  /// The chain ID that the layer must lead to (the client's snapshot.ref), and that of the layers
  /// below it, when there are some; nothing when either is not known.
  std::optional<oci::Digest> chain;
  std::optional<oci::Digest> parent_chain;
  /// How much of the blob's front the client asks to prefetch where no landmark says it.
  std::optional<uint64_t> prefetch_bytes;
  Reader reader = Reader::kContainer;
};

struct LayerMount {
  std::filesystem::path path;  // the layer's root, ready to be a lower directory
  uint64_t size_bytes = 0;
  uint64_t inodes = 0;
  bool is_whole = false;  // all of it was fetched, because it cannot be lazy
};

/// Makes layers readable without containerd's downloading them. Threads: safe; every call may
/// block.
class LayerMounter {
 public:
  virtual ~LayerMounter() = default;
  /// Shows the layer under `number`, which is never used again: lazily or, when it is plain, once
  /// all of it is there. An error means: not so, and the caller falls back to an ordinary snapshot
  /// and logs the reason.
  virtual StatusOr<LayerMount> Mount(uint64_t number, const LayerRequest& layer) = 0;
  /// The same after a restart, from what is on disk alone: never asks the network.
  virtual StatusOr<LayerMount> Restore(uint64_t number, const LayerRequest& layer) = 0;
  /// Every layer that is needed is restored: from now on the kernel is answered. Comes once, before
  /// anything but restores. An error keeps the daemon from starting.
  virtual Status Serve() = 0;
  /// An overlay of these layers, bottom first, all of them shown, is about to be mounted for
  /// `reader`. One
  /// directory that shows the same; nothing when there is none, so that the overlay needs each of
  /// them, and for a single layer. The same list gets
  /// the same answer, and the directory lasts, until one of the layers is discarded. Never asks
  /// the network.
  virtual std::optional<std::filesystem::path> ShowChain(std::span<const uint64_t> numbers,
                                                         Reader reader) = 0;
  /// The snapshot is gone: hides the layer and drops its data unless another number shows it.
  virtual Status Discard(uint64_t number) = 0;
  /// Every layer that is needed is restored: drops the data of all others, which an earlier process
  /// has left.
  virtual Status DiscardOthers() = 0;
};

}  // namespace starling::snapshotter
