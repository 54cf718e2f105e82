/// Verified data of layers on disk, kept over restarts.
///
///   <root>/<layer digest hex>.<TOC digest hex, 16 digits>/
///     index      the layer's EROFS image          written once, mmapped
///     chunks     the layer's chunk table          written once, mmapped
///     data       sparse, decompressed bytes at the addresses of the index
///     present    one bit a chunk
///     layer.json what the layer is: format version, digests, sizes
#pragma once

#include <filesystem>
#include <memory>
#include <string>
#include <vector>

#include "base/bytes.h"
#include "base/file_system.h"
#include "base/status.h"
#include "oci/digest.h"

namespace starling::store {

/// A layer is known by its blob and by the TOC that it was indexed from: the same blob
/// with another TOC is another layer, because nothing proves yet which of them is true.
struct LayerKey {
  oci::Digest layer;
  oci::Digest toc;

  friend auto operator<=>(const LayerKey&, const LayerKey&) = default;
};

/// What is needed to serve a layer without the network.
struct LayerInfo {
  uint64_t blob_size_bytes = 0;  // as stored in the registry
  uint64_t data_size_bytes = 0;  // of the data device
  uint64_t chunk_count = 0;
};

/// One layer's files. Threads: safe.
class StoredLayer {
 public:
  ~StoredLayer();
  const LayerKey& key() const;
  const LayerInfo& info() const;
  /// The index and the chunk table, mmapped for the object's life.
  ByteSpan index() const;
  ByteSpan chunk_table() const;

  /// True when chunk number `chunk` was verified and is readable. Lock-free, never blocks.
  bool IsPresent(uint64_t chunk) const;
  /// Checks `bytes` against `digest`, writes them at `data_address`, then sets the chunk's bit.
  /// kDataLoss when the digest differs: nothing is written. kResourceExhausted when the disk is
  /// full: the bit stays clear and the layer usable.
  Status Put(uint64_t chunk, uint64_t data_address, ByteSpan bytes, const oci::Digest& digest);
  /// Fills `out` from `data_address`. The caller has seen IsPresent for every chunk in it.
  Status Read(uint64_t data_address, std::span<std::byte> out) const;
  /// For pread by those that serve the kernel; borrowed. Never written through.
  int data_fd() const;
  /// Bytes of the chunks held, and all bits: for status and usage.
  uint64_t present_bytes() const;
  bool complete() const;
  /// Forces data, then bits, to the disk.
  Status Checkpoint();

 private:
  friend class LayerStore;
  struct State;
  explicit StoredLayer(std::unique_ptr<State> state);
  std::unique_ptr<State> state_;
};

/// The directory of all layers. Threads: safe.
class LayerStore {
 public:
  /// Makes `root` (0700) when it is missing and takes its lock: kFailedPrecondition when another
  /// process holds it. A state of a newer version is refused untouched.
  static StatusOr<std::unique_ptr<LayerStore>> Open(const std::filesystem::path& root,
                                                    FileSystem& files);
  ~LayerStore();

  /// The layer if it is stored; kNotFound otherwise. A damaged one is removed and kNotFound.
  /// All holders of one key share one object.
  StatusOr<std::shared_ptr<StoredLayer>> Find(const LayerKey& key);
  /// Stores a new layer's index and table (in one step: a crash leaves nothing or all) and opens it.
  /// Returns the existing one when it is already there.
  StatusOr<std::shared_ptr<StoredLayer>> Create(const LayerKey& key, const LayerInfo& info,
                                                ByteSpan index, ByteSpan chunk_table);
  /// Removes the layer's files. Holders keep reading until they let go.
  Status Remove(const LayerKey& key);
  StatusOr<std::vector<LayerKey>> List();

 private:
  struct State;
  explicit LayerStore(std::unique_ptr<State> state);
  std::unique_ptr<State> state_;
};

}  // namespace starling::store
