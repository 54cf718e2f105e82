/// Verified data of layers on disk, kept over restarts.
///
///   <root>/lock           held by the process that uses the store
///   <root>/version        of this layout: 1
///   <root>/.new-*, .old-* unfinished work of a crash; removed by Open
///   <root>/<layer digest hex>.<TOC digest hex>/
///     layer.json      what the layer is: format version, digests, sizes    written once
///     index           the layer's EROFS image                              written once, mmapped
///     chunks          the layer's chunk table                              written once, mmapped
///     data            sparse, decompressed bytes at the addresses of the index
///     present         one bit a chunk, mmapped: the truth while the machine runs
///     present.synced  the bits whose bytes are known to be on the disk: the truth after a reboot
///     present.doubtful  those that a reboot may have left without their bytes: to be verified
///     boot            the machine's boot for which `present` is the truth
///     digests         what can be made from the rest again: see LayerStore::WriteDerived
///     gaps, diffid    not the store's: layer::GapLog, mount::DiffIdChecks
///     fetching        how and why the layer is fetched as it is: by WriteDerived, too
///
/// A killed process loses nothing: bytes and bits are in the page cache, and a bit is set after its
/// bytes. A machine that lost power may have kept a bit without its bytes; so in another boot than
/// the one that set them, only the bits of the last Checkpoint count, and the others when their
/// bytes have been verified (docs/decisions/0029-power-loss.md).
#pragma once

#include <filesystem>
#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "base/bytes.h"
#include "base/file_system.h"
#include "base/status.h"
#include "oci/digest.h"
#include "store/room.h"

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
  uint64_t data_size_bytes = 0;  // of the data device; its file is rounded up to 4 KiB
  uint64_t chunk_count = 0;      // at most 2^32

  friend bool operator==(const LayerInfo&, const LayerInfo&) = default;
};

class StoredLayer;

/// A chunk of a layer, as the index and the chunk table place it.
struct ChunkPlace {
  const StoredLayer& layer;
  uint64_t chunk = 0;
  uint64_t data_address = 0;
};

/// Chunks that follow each other, and what they take of the data file: from the first one's address
/// to where the next chunk's block begins.
struct ChunkRun {
  uint64_t first_chunk = 0;
  uint64_t last_chunk = 0;  // one past
  uint64_t data_address = 0;
  uint64_t size_bytes = 0;
};

/// How large a chunk is.
using ChunkBytes = std::function<uint64_t(uint64_t chunk)>;

/// One layer's files. Threads: safe.
class StoredLayer {
 public:
  ~StoredLayer();
  const LayerKey& key() const;
  const LayerInfo& info() const;
  /// The index and the chunk table, mmapped for the object's life. What is read of them counts when
  /// CheckFiles says so afterwards.
  ByteSpan index() const;
  ByteSpan chunk_table() const;
  /// kInternal, with the file, once the disk has not given a part of the index or the chunk table:
  /// then nothing changes what is stored any more, every chunk seems present, so that nobody
  /// fetches it, and none can be read. Find opens the layer anew after Remove. Lock-free.
  Status CheckFiles() const;
  /// Reads something of every page of both, so that CheckFiles knows of what only the kernel has
  /// met. Blocks for the disk, if the kernel has let go of them.
  void TouchFiles() const;

  /// True when chunk number `chunk` was verified and is readable. Lock-free, never blocks.
  /// False for a number that the layer does not have.
  bool IsPresent(uint64_t chunk) const;
  /// Checks `bytes` against `digest`, writes them at `data_address`, then sets the chunk's bit.
  /// Does nothing for a chunk that is present. Blocks for the disk.
  /// Errors: kDataLoss when the digest differs: nothing is written. kResourceExhausted when the
  /// store or the disk is full: the bit stays clear and the layer usable. kInvalidArgument outside
  /// of the layer.
  Status Put(uint64_t chunk, uint64_t data_address, ByteSpan bytes, const oci::Digest& digest);
  /// Puts a chunk of `size_bytes` that another layer holds: shares the blocks of its file where the
  /// file system can, so that they take no room, else copies. Blocks for the disk.
  /// Errors: kNotFound when the other layer does not hold it (any more); else those of Put.
  Status PutShared(uint64_t chunk, uint64_t data_address, uint64_t size_bytes,
                   const oci::Digest& digest, const ChunkPlace& donor);
  /// True when the bytes of an absent chunk may be on the disk all the same: a loss of power came
  /// after it was put. Lock-free, never blocks.
  bool IsDoubtful(uint64_t chunk) const;
  /// How many chunks are doubtful.
  uint64_t doubtful_count() const;
  /// Verifies a doubtful chunk, which is present or only absent from then on. Blocks for the disk.
  /// Errors: kNotFound when it was not doubtful or its bytes are not what `digest` says.
  Status Reclaim(uint64_t chunk, uint64_t data_address, uint64_t size_bytes,
                 const oci::Digest& digest);
  /// Gives up the chunks of `runs` and their room; `chunk_bytes` says how large one is. From then
  /// on they can be put again. How many bytes of chunks went: none once the layer is pinned. Blocks
  /// for the disk: even after a loss of power nothing that was given up counts as present.
  StatusOr<uint64_t> Evict(std::span<const ChunkRun> runs, const ChunkBytes& chunk_bytes);
  /// As Evict for chunks whose bytes turned out to be wrong, and of a pinned layer, too: there the
  /// bytes stay until the chunks are put again, because zeros were no better.
  Status Drop(std::span<const ChunkRun> runs, const ChunkBytes& chunk_bytes);
  /// Takes a chunk for absent whose bytes the disk does not give. Never blocks. A loss of power may
  /// bring it back, and the next read this.
  void Distrust(uint64_t chunk, uint64_t size_bytes);
  /// Grows with each Evict, after its chunks' bits and before their bytes have gone. Who reads held
  /// chunks asks before it looks at their bits and again when it has the bytes: if it has grown,
  /// they may be zeros.
  uint64_t evictions() const;
  /// Sees to it that nothing of a complete layer is given up any more, as long as this object
  /// lives. False, and without effect, for an incomplete one.
  bool PinIfComplete();
  /// The same for a layer that the kernel reads already, whether complete or not any more.
  void Pin();
  /// Fills `out` from `data_address`. The caller has seen IsPresent for every chunk in it.
  /// Errors: those of CheckFiles; kInternal when the disk does not give it.
  Status Read(uint64_t data_address, std::span<std::byte> out) const;
  /// The same from the disk itself, where the kernel keeps a copy in memory that it can let go.
  Status ReadFromDisk(uint64_t data_address, std::span<std::byte> out) const;
  /// Has the kernel read that into its memory, if it is not there. Blocks while the disk has much
  /// to do. What is absent costs memory only.
  void ReadAhead(uint64_t data_address, uint64_t size_bytes) const;
  /// The same of the index and the chunk table, of each the first 64 MiB at most.
  void ReadFilesAhead() const;
  /// For pread by those that serve the kernel; borrowed and opened for reading only.
  int data_fd() const;
  /// The files of the index and of the data, for who has the kernel open them. Only for reading:
  /// the data's bytes are valid where IsPresent says so. Gone after LayerStore::Remove.
  std::filesystem::path index_path() const;
  std::filesystem::path data_path() const;
  /// Where others may keep what they make of the layer; removed with it.
  std::filesystem::path directory() const;
  /// Bytes of the chunks held, for status and usage. After a kill it may lack those of the chunks
  /// that were just being put.
  uint64_t present_bytes() const;
  /// What the layer's files take of the disk, as the file system counts.
  uint64_t disk_bytes() const;
  /// True when every chunk is present.
  bool complete() const;
  /// True from a successful PinIfComplete on, or a Pin.
  bool is_pinned() const;
  /// Forces data, then bits, to the disk: what is present now survives a loss of power, unless it
  /// is given up meanwhile. Cheap when nothing came since the last time; else blocks for the disk.
  Status Checkpoint();

 private:
  friend class LayerStore;
  struct State;
  explicit StoredLayer(std::unique_ptr<State> state);
  Status CheckPlace(uint64_t chunk, uint64_t data_address, uint64_t size_bytes) const;
  Status Verify(uint64_t chunk, ByteSpan bytes, const oci::Digest& digest) const;
  Status PutTaken(uint64_t data_address, ByteSpan bytes, uint64_t chunk);
  enum class Pinned { kStays, kLosesMarks };
  StatusOr<uint64_t> GiveUp(std::span<const ChunkRun> runs, const ChunkBytes& chunk_bytes,
                            Pinned pinned);
  bool EndDoubt(uint64_t chunk);
  void Recount();
  Status Write(uint64_t data_address, ByteSpan bytes);
  Status Mark(uint64_t chunk, uint64_t size_bytes, const Status& written);
  StatusOr<uint64_t> ShareBlocks(uint64_t data_address, uint64_t size_bytes,
                                 const ChunkPlace& donor);
  std::unique_ptr<State> state_;
};

/// A layer whose data is written before its index is known. Nobody sees it before Commit, and
/// without one everything goes with the object, or with the next Open after a crash.
/// Threads: Write and Read are safe; Commit comes alone and last. All calls block for the disk.
class LayerWriter {
 public:
  ~LayerWriter();
  /// Of `bytes`, `padding_bytes` belong to no chunk. Errors: kResourceExhausted when the disk is
  /// full.
  Status Write(uint64_t data_address, ByteSpan bytes, uint64_t padding_bytes = 0);
  /// Stores the layer with every chunk present (in one step: a crash leaves nothing or all) and
  /// opens it; the existing one when it is already there. The caller has checked the digests of
  /// what it wrote. The data survives a loss of power from the next checkpoint on: until then such
  /// a loss leaves a layer without chunks. Call once.
  StatusOr<std::shared_ptr<StoredLayer>> Commit(const LayerInfo& info, ByteSpan index,
                                                ByteSpan chunk_table);

 private:
  friend class LayerStore;
  struct State;
  explicit LayerWriter(std::unique_ptr<State> state);
  std::unique_ptr<State> state_;
};

/// Told of each StoredLayer::Read that has to wait for the disk, before it does; must not block.
/// Where the file system cannot tell, it never is.
using OnDiskWait = std::function<void(const LayerKey& layer)>;

/// The directory of all layers. Threads: safe. All calls block for the disk.
class LayerStore {
 public:
  /// Makes `root` (0700) when it is missing and takes its lock: kFailedPrecondition when another
  /// process holds it. A store of a newer version, or a directory with other things in it, is
  /// refused untouched. `files` outlives the store and its layers. `lock` is the one that a process
  /// held that has died, though the kernel may not have done with it.
  static StatusOr<std::unique_ptr<LayerStore>> Open(const std::filesystem::path& root,
                                                    FileSystem& files, Room::Options room = {},
                                                    UniqueFd lock = {},
                                                    OnDiskWait on_disk_wait = {});
  /// The lock is held until the last layer is let go, too.
  ~LayerStore();

  /// The layer if it is stored; kNotFound otherwise. A damaged one is removed and kNotFound.
  /// All holders of one key share one object.
  StatusOr<std::shared_ptr<StoredLayer>> Find(const LayerKey& key);
  /// Stores a new layer's index and table (in one step: a crash leaves nothing or all) and opens
  /// it. Returns the existing one when it is already there.
  StatusOr<std::shared_ptr<StoredLayer>> Create(const LayerKey& key, const LayerInfo& info,
                                                ByteSpan index, ByteSpan chunk_table);
  /// Begins a layer whose data comes first. The writer must end before the store.
  StatusOr<std::unique_ptr<LayerWriter>> Begin(const LayerKey& key);
  /// Removes the layer's files; kNotFound when there are none. Holders keep reading until they let
  /// go.
  Status Remove(const LayerKey& key);
  StatusOr<std::vector<LayerKey>> List();
  /// Keeps beside a layer what was computed from its other files, or may be lost for other reasons,
  /// in a file `name` that goes with it; replaces an earlier one. `name` is none of the files
  /// above. kNotFound without the layer.
  Status WriteDerived(const LayerKey& key, std::string_view name, ByteSpan bytes);
  /// What WriteDerived kept: the reader checks it. kNotFound when there is none;
  /// kResourceExhausted beyond `limit_bytes`. The layer need not be opened for it.
  StatusOr<Bytes> ReadDerived(const LayerKey& key, std::string_view name, uint64_t limit_bytes);
  /// For whoever keeps the store locked between two processes that use it.
  StatusOr<UniqueFd> CopyLock() const;
  /// Checkpoints every layer that somebody holds: from time to time, and before the process ends.
  /// Tries all; returns the first error.
  Status Checkpoint();
  /// What all layers take of the disk, and what they may.
  Room& room() const;

 private:
  friend class LayerWriter;
  struct State;
  explicit LayerStore(std::unique_ptr<State> state);
  StatusOr<std::shared_ptr<StoredLayer>> FindLeased(const LayerKey& key);
  Status RemoveLeased(const LayerKey& key);
  void Recount(const LayerKey& key);
  std::unique_ptr<State> state_;
};

}  // namespace starling::store
