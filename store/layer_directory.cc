#include "store/layer_directory.h"

#include <fcntl.h>

namespace starling::store {
namespace {

constexpr uint64_t kMaxRecordBytes = 64 << 10;
constexpr uint64_t kMaxBootIdBytes = 256;
constexpr mode_t kWrittenOnce = 0400;
constexpr mode_t kPrivate = 0600;

constexpr const char* kRecordFile = "layer.json";
constexpr const char* kChunkTableFile = "chunks";
constexpr const char* kPresentFile = "present";
constexpr const char* kSyncedFile = "present.synced";
constexpr const char* kBootFile = "boot";

uint64_t DataFileBytes(const LayerInfo& info) {
  return (info.data_size_bytes + kBlockBytes - 1) / kBlockBytes * kBlockBytes;
}

Status WriteNewFile(FileSystem& files, const std::filesystem::path& path, ByteSpan bytes,
                    mode_t mode) {
  ASSIGN_OR_RETURN(const UniqueFd fd, files.Open(path, O_WRONLY | O_CREAT | O_EXCL, mode));
  RETURN_IF_ERROR(Annotate(files.WriteAt(fd.get(), 0, bytes), path.string()));
  return Annotate(files.SyncData(fd.get()), path.string());
}

Status MakeDataFile(FileSystem& files, const std::filesystem::path& path, uint64_t size_bytes) {
  ASSIGN_OR_RETURN(const UniqueFd fd, files.Open(path, O_WRONLY | O_CREAT | O_EXCL, kPrivate));
  RETURN_IF_ERROR(Annotate(files.Resize(fd.get(), size_bytes), path.string()));
  return Annotate(files.SyncData(fd.get()), path.string());
}

StatusOr<MappedFile> MapWrittenOnce(FileSystem& files, const std::filesystem::path& path,
                                    const FileRecord& record) {
  ASSIGN_OR_RETURN(MappedFile file,
                   MappedFile::Open(files, path, MappedFile::Access::kRead, record.size_bytes));
  if (oci::Digest::Of(file.bytes()) != record.digest) {
    return MakeError(StatusCode::kDataLoss,
                     fmt::format("{} has another digest than when it was written", path.string()));
  }
  return file;
}

/// The bits of the last checkpoint: none when there was no good one.
StatusOr<Bytes> ReadSynced(FileSystem& files, const std::filesystem::path& directory,
                           uint64_t chunk_count) {
  Bytes empty = PresenceMap::Empty(chunk_count);
  auto synced = ReadFile(files, directory / kSyncedFile, empty.size());
  if (synced.ok() && PresenceMap::Check(*synced, chunk_count).ok()) {
    return synced;
  }
  // A read error may pass; absence and nonsense will not.
  if (synced.status().code() == StatusCode::kInternal) {
    return synced.status();
  }
  return empty;
}

/// Takes back what another boot of the machine may have lost.
Status ForgetWhatPowerLossTook(FileSystem& files, const std::filesystem::path& directory,
                               ByteSpan synced, std::string_view boot_id) {
  const auto boot_before = ReadFile(files, directory / kBootFile, kMaxBootIdBytes);
  if (boot_before.ok() && AsText(*boot_before) == boot_id) {
    return OkStatus();
  }
  // In this order: a crash between the two does it again.
  RETURN_IF_ERROR(WriteFileAtomically(files, directory / kPresentFile, synced, kPrivate));
  return WriteFileAtomically(files, directory / kBootFile, AsBytes(boot_id), kPrivate);
}

/// Forces what it writes to the disk.
Status WriteAllButData(FileSystem& files, const std::filesystem::path& path,
                       const LayerRecord& record, ByteSpan index, ByteSpan chunk_table,
                       std::string_view boot_id, ByteSpan present) {
  RETURN_IF_ERROR(WriteNewFile(files, path / kIndexFile, index, kWrittenOnce));
  RETURN_IF_ERROR(WriteNewFile(files, path / kChunkTableFile, chunk_table, kWrittenOnce));
  RETURN_IF_ERROR(WriteNewFile(files, path / kPresentFile, present, kPrivate));
  RETURN_IF_ERROR(WriteNewFile(files, path / kBootFile, AsBytes(boot_id), kPrivate));
  RETURN_IF_ERROR(WriteNewFile(files, path / kRecordFile, AsBytes(record.ToJson()), kWrittenOnce));
  return SyncDirectory(files, path);
}

}  // namespace

Status SyncDirectory(FileSystem& files, const std::filesystem::path& path) {
  ASSIGN_OR_RETURN(const UniqueFd fd, files.Open(path, O_RDONLY | O_DIRECTORY, 0));
  return Annotate(files.SyncData(fd.get()), path.string());
}

Status LayerDirectory::Write(FileSystem& files, const std::filesystem::path& path,
                             const LayerRecord& record, ByteSpan index, ByteSpan chunk_table,
                             std::string_view boot_id) {
  RETURN_IF_ERROR(MakeDataFile(files, path / kDataFile, DataFileBytes(record.info)));
  return WriteAllButData(files, path, record, index, chunk_table, boot_id,
                         PresenceMap::Empty(record.info.chunk_count));
}

Status LayerDirectory::WriteAround(FileSystem& files, const std::filesystem::path& path,
                                   const LayerRecord& record, ByteSpan index, ByteSpan chunk_table,
                                   std::string_view boot_id, int data, uint64_t data_bytes) {
  RETURN_IF_ERROR(
      Annotate(files.Resize(data, DataFileBytes(record.info)), (path / kDataFile).string()));
  return WriteAllButData(files, path, record, index, chunk_table, boot_id,
                         PresenceMap::Full(record.info.chunk_count, data_bytes));
}

StatusOr<LayerDirectory> LayerDirectory::Open(FileSystem& files, const std::filesystem::path& path,
                                              const LayerKey& key, std::string_view boot_id) {
  LayerDirectory directory;
  directory.path = path;
  const auto json = ReadFile(files, path / kRecordFile, kMaxRecordBytes);
  if (json.status().code() == StatusCode::kResourceExhausted) {
    return MakeError(StatusCode::kDataLoss, MessageOf(json.status()));
  }
  RETURN_IF_ERROR(json.status());
  ASSIGN_OR_RETURN(directory.record, LayerRecord::Parse(AsText(*json)));
  if (directory.record.key != key) {
    return MakeError(StatusCode::kDataLoss, "layer.json is of another layer");
  }
  const LayerInfo& info = directory.record.info;
  ASSIGN_OR_RETURN(directory.index,
                   MapWrittenOnce(files, path / kIndexFile, directory.record.index));
  ASSIGN_OR_RETURN(directory.chunk_table,
                   MapWrittenOnce(files, path / kChunkTableFile, directory.record.chunk_table));
  ASSIGN_OR_RETURN(directory.data_for_writing, files.Open(path / kDataFile, O_WRONLY, 0));
  ASSIGN_OR_RETURN(directory.data_for_reading, files.Open(path / kDataFile, O_RDONLY, 0));
  RETURN_IF_ERROR(
      CheckFileSize(directory.data_for_reading.get(), path / kDataFile, DataFileBytes(info)));
  ASSIGN_OR_RETURN(directory.synced, ReadSynced(files, path, info.chunk_count));
  RETURN_IF_ERROR(ForgetWhatPowerLossTook(files, path, directory.synced, boot_id));
  ASSIGN_OR_RETURN(directory.present,
                   PresenceMap::Open(files, path / kPresentFile, info.chunk_count));
  return directory;
}

Status LayerDirectory::Checkpoint(FileSystem& files) {
  // A bit comes after its bytes, and none goes meanwhile: so those of this snapshot are covered.
  Bytes snapshot = present->Snapshot();
  if (snapshot == synced) {
    return OkStatus();
  }
  RETURN_IF_ERROR(Annotate(files.SyncData(data_for_writing.get()), (path / kDataFile).string()));
  RETURN_IF_ERROR(WriteFileAtomically(files, path / kSyncedFile, snapshot, kPrivate));
  synced = std::move(snapshot);
  return OkStatus();
}

Status LayerDirectory::ForgetSynced(FileSystem& files, std::span<const ChunkRun> runs,
                                    const ChunkBytes& chunk_bytes) {
  Bytes rest = synced;
  for (const ChunkRun& run : runs) {
    PresenceMap::ClearIn(rest, run.first_chunk, run.last_chunk, chunk_bytes);
  }
  if (rest == synced) {
    return OkStatus();
  }
  RETURN_IF_ERROR(WriteFileAtomically(files, path / kSyncedFile, rest, kPrivate));
  RETURN_IF_ERROR(SyncDirectory(files, path));
  synced = std::move(rest);
  return OkStatus();
}

uint64_t LayerDirectory::HeldBytes(FileSystem& files, const std::filesystem::path& path) {
  const auto map = ReadFile(files, path / kPresentFile, PresenceMap::kMaxBytes);
  return map.ok() && map->size() >= PresenceMap::kMinBytes ? PresenceMap::HeldBytes(*map) : 0;
}

}  // namespace starling::store
