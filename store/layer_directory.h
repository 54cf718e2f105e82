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
  Bytes synced;  // what present.synced holds

  /// Fills the empty directory `path` and forces it to the disk.
  /// `boot_id` names the running boot of the machine.
  static Status Write(FileSystem& files, const std::filesystem::path& path,
                      const LayerRecord& record, ByteSpan index, ByteSpan chunk_table,
                      std::string_view boot_id);
  /// The same where `data` is the data file, in place already, with all of the layer in it:
  /// `data_bytes` bytes of chunks. The data itself is not forced to the disk: Checkpoint does that.
  static Status WriteAround(FileSystem& files, const std::filesystem::path& path,
                            const LayerRecord& record, ByteSpan index, ByteSpan chunk_table,
                            std::string_view boot_id, int data, uint64_t data_bytes);
  /// Opens and checks what Write made. After another boot than the last one, chunks that no
  /// checkpoint covers are absent. kDataLoss or kNotFound when it is damaged.
  static StatusOr<LayerDirectory> Open(FileSystem& files, const std::filesystem::path& path,
                                       const LayerKey& key, std::string_view boot_id);

  /// Forces the data to the disk, then notes that it is there. One at a time, with ForgetSynced.
  Status Checkpoint(FileSystem& files);
  /// Forces to the disk that the chunks of `runs` are not known to be there: before they go.
  Status ForgetSynced(FileSystem& files, std::span<const ChunkRun> runs, const ChunkBytes& bytes);
  /// Of chunks that the layer at `path` holds, without opening it; 0 if that cannot be read.
  static uint64_t HeldBytes(FileSystem& files, const std::filesystem::path& path);
};

/// Forces the entries of the directory `path` to the disk.
Status SyncDirectory(FileSystem& files, const std::filesystem::path& path);

}  // namespace starling::store
