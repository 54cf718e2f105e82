#pragma once

#include <filesystem>
#include <memory>
#include <string>
#include <string_view>

#include "base/file_system.h"
#include "base/unique_fd.h"
#include "store/layer_record.h"
#include "store/mapped_file.h"
#include "store/presence_map.h"

namespace starling::store {

/// Names of files that others may open, too.
inline constexpr std::string_view kIndexFile = "index";
inline constexpr std::string_view kDataFile = "data";
/// Of the index: the kernel reads the data in such blocks.
inline constexpr uint64_t kBlockBytes = 4096;

/// The open files of one layer.
struct LayerDirectory {
  std::filesystem::path path;
  LayerRecord record;
  MappedFile index;
  MappedFile chunk_table;
  UniqueFd data_for_writing;
  UniqueFd data_for_reading;
  std::unique_ptr<PresenceMap> present;
  Bytes synced;    // what present.synced holds
  Bytes doubtful;  // a map of chunks whose bytes may be there, but are not proven to be

  /// Fills the empty directory `path` and forces to the disk what Open needs after a loss of power.
  /// `boot_id` names the running boot of the machine.
  static Status Write(FileSystem& files, const std::filesystem::path& path,
                      const LayerRecord& record, ByteSpan index, ByteSpan chunk_table,
                      std::string_view boot_id);
  /// The same where `data` is the data file, in place already, with all of the layer in it:
  /// `data_bytes` bytes of chunks.
  static Status WriteAround(FileSystem& files, const std::filesystem::path& path,
                            const LayerRecord& record, ByteSpan index, ByteSpan chunk_table,
                            std::string_view boot_id, int data, uint64_t data_bytes);
  /// Opens and checks what Write made. After another boot than the last one, chunks that no
  /// checkpoint covers are absent and doubtful; so are all others when `present` is damaged.
  /// kDataLoss or kNotFound when another file is.
  static StatusOr<LayerDirectory> Open(FileSystem& files, const std::filesystem::path& path,
                                       const LayerKey& key, std::string_view boot_id);

  /// Forces the data to the disk. What this returns is then known to be there, as far as it is
  /// not given up meanwhile.
  StatusOr<Bytes> SyncChunks(FileSystem& files) const;
  /// Notes what SyncChunks returned. One at a time, with ForgetSynced.
  Status NoteSynced(FileSystem& files, Bytes chunks);
  /// Forces to the disk that the chunks of `runs` are not known to be there: before they go.
  Status ForgetSynced(FileSystem& files, std::span<const ChunkRun> runs, const ChunkBytes& bytes);
  /// Takes care that all that no checkpoint covers is doubtful when the layer is opened again:
  /// before chunks go that a damaged `present` may name for ever.
  Status ForgetPresent(FileSystem& files) const;
  /// Has the kernel read the index and the chunk table into its memory, as far as it can.
  void ReadFilesAhead(FileSystem& files) const;
  /// The name of a file without which nothing in the data can be found, when the disk does not give
  /// all of it; else empty. Lock-free.
  std::string_view DamagedFile() const;
  /// Removes what is known of doubtful chunks: there are none any more.
  static void ForgetDoubtful(const std::filesystem::path& path);
};

/// What the files in the directory `path` take of the disk, as the file system counts: blocks that
/// it shares between files count in each. 0 if it cannot be read.
uint64_t DiskBytes(const std::filesystem::path& path);

/// Forces the entries of the directory `path` to the disk.
Status SyncDirectory(FileSystem& files, const std::filesystem::path& path);

}  // namespace starling::store
