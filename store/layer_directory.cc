#include "store/layer_directory.h"

#include <dirent.h>
#include <fcntl.h>
#include <sys/stat.h>

#include <memory>

namespace starling::store {
namespace {

constexpr uint64_t kMaxRecordBytes = 64 << 10;
constexpr uint64_t kMaxBootIdBytes = 256;
constexpr mode_t kWrittenOnce = 0400;
constexpr mode_t kPrivate = 0600;

constexpr const char* kRecordFile = "layer.json";
constexpr std::string_view kChunkTableFile = "chunks";
// What is larger would push out of memory what is needed of it.
constexpr uint64_t kMaxAheadBytes = 64 << 20;
constexpr const char* kPresentFile = "present";
constexpr const char* kSyncedFile = "present.synced";
constexpr const char* kDoubtfulFile = "present.doubtful";
constexpr const char* kBootFile = "boot";

uint64_t DataFileBytes(const LayerInfo& info) {
  return (info.data_size_bytes + kBlockBytes - 1) / kBlockBytes * kBlockBytes;
}

StatusOr<UniqueFd> WriteNewFile(FileSystem& files, const std::filesystem::path& path,
                                ByteSpan bytes, mode_t mode) {
  ASSIGN_OR_RETURN(UniqueFd fd, files.Open(path, O_WRONLY | O_CREAT | O_EXCL, mode));
  RETURN_IF_ERROR(Annotate(files.WriteAt(fd.get(), 0, bytes), path.string()));
  return fd;
}

Status WriteOnce(FileSystem& files, const std::filesystem::path& path, ByteSpan bytes) {
  ASSIGN_OR_RETURN(const UniqueFd fd, WriteNewFile(files, path, bytes, kWrittenOnce));
  return Annotate(files.SyncData(fd.get()), path.string());
}

Status MakeDataFile(FileSystem& files, const std::filesystem::path& path, uint64_t size_bytes) {
  ASSIGN_OR_RETURN(const UniqueFd fd, files.Open(path, O_WRONLY | O_CREAT | O_EXCL, kPrivate));
  return Annotate(files.Resize(fd.get(), size_bytes), path.string());
}

StatusOr<MappedFile> MapWrittenOnce(FileSystem& files, const std::filesystem::path& path,
                                    const FileRecord& record) {
  ASSIGN_OR_RETURN(MappedFile file,
                   MappedFile::Open(files, path, MappedFile::Access::kRead, record.size_bytes));
  const oci::Digest digest = oci::Digest::Of(file.bytes());
  if (file.is_damaged()) {
    return MakeError(StatusCode::kDataLoss,
                     fmt::format("the disk does not give all of {}", path.string()));
  }
  if (digest != record.digest) {
    return MakeError(StatusCode::kDataLoss,
                     fmt::format("{} has another digest than when it was written", path.string()));
  }
  return file;
}

/// The map in a file; `otherwise` when there is no good one.
StatusOr<Bytes> ReadMap(FileSystem& files, const std::filesystem::path& path, uint64_t chunk_count,
                        Bytes otherwise) {
  auto map = ReadFile(files, path, PresenceMap::kMinBytes + chunk_count / 8 + sizeof(uint64_t));
  if (map.ok() && PresenceMap::Check(*map, chunk_count).ok()) {
    return map;
  }
  // A read error may pass; absence and nonsense will not.
  if (map.status().code() == StatusCode::kInternal) {
    return map.status();
  }
  return otherwise;
}

/// Whether `boot_id` was running when the layer was used last.
bool WasUsedIn(FileSystem& files, const std::filesystem::path& directory,
               std::string_view boot_id) {
  const auto boot_before = ReadFile(files, directory / kBootFile, kMaxBootIdBytes);
  return boot_before.ok() && AsText(*boot_before) == boot_id;
}

/// Takes back what another boot of the machine may have lost, until it is verified. Returns what is
/// to be verified now, or since an earlier boot.
StatusOr<Bytes> DoubtWhatPowerLossMayHaveTaken(FileSystem& files,
                                               const std::filesystem::path& directory,
                                               ByteSpan synced, uint64_t chunk_count,
                                               std::string_view boot_id, bool is_same_boot) {
  ASSIGN_OR_RETURN(Bytes doubtful, ReadMap(files, directory / kDoubtfulFile, chunk_count,
                                           PresenceMap::Empty(chunk_count)));
  // What the bytes of all would be does not matter: a map of doubts counts none.
  const Bytes all = PresenceMap::Full(chunk_count, 0);
  ASSIGN_OR_RETURN(const Bytes present,
                   ReadMap(files, directory / kPresentFile, chunk_count, Bytes()));
  if (is_same_boot && !present.empty()) {
    return doubtful;
  }
  PresenceMap::Join(doubtful, present.empty() ? all : present);
  PresenceMap::Subtract(doubtful, synced);
  // In this order: a crash between any two does it again.
  if (CountPresent(doubtful) > 0) {
    RETURN_IF_ERROR(WriteFileAtomically(files, directory / kDoubtfulFile, doubtful, kPrivate));
  }
  RETURN_IF_ERROR(WriteFileAtomically(files, directory / kPresentFile, synced, kPrivate));
  RETURN_IF_ERROR(WriteFileAtomically(files, directory / kBootFile, AsBytes(boot_id), kPrivate));
  return doubtful;
}

/// Forces to the disk what the layer cannot be opened without. The rest is of the running boot:
/// another one trusts it as far as checkpoints go.
Status WriteAllButData(FileSystem& files, const std::filesystem::path& path,
                       const LayerRecord& record, ByteSpan index, ByteSpan chunk_table,
                       std::string_view boot_id, ByteSpan present) {
  RETURN_IF_ERROR(WriteOnce(files, path / kIndexFile, index));
  RETURN_IF_ERROR(WriteOnce(files, path / kChunkTableFile, chunk_table));
  RETURN_IF_ERROR(WriteNewFile(files, path / kPresentFile, present, kPrivate).status());
  RETURN_IF_ERROR(WriteNewFile(files, path / kBootFile, AsBytes(boot_id), kPrivate).status());
  RETURN_IF_ERROR(WriteOnce(files, path / kRecordFile, AsBytes(record.ToJson())));
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
  ASSIGN_OR_RETURN(directory.synced, ReadMap(files, path / kSyncedFile, info.chunk_count,
                                             PresenceMap::Empty(info.chunk_count)));
  const bool is_same_boot = WasUsedIn(files, path, boot_id);
  // The first checkpoint forces its size to the disk.
  if (!is_same_boot && CountPresent(directory.synced) == 0) {
    RETURN_IF_ERROR(Annotate(files.Resize(directory.data_for_writing.get(), DataFileBytes(info)),
                             (path / kDataFile).string()));
  }
  RETURN_IF_ERROR(
      CheckFileSize(directory.data_for_reading.get(), path / kDataFile, DataFileBytes(info)));
  ASSIGN_OR_RETURN(directory.doubtful,
                   DoubtWhatPowerLossMayHaveTaken(files, path, directory.synced, info.chunk_count,
                                                  boot_id, is_same_boot));
  ASSIGN_OR_RETURN(directory.present,
                   PresenceMap::Open(files, path / kPresentFile, info.chunk_count));
  return directory;
}

StatusOr<Bytes> LayerDirectory::SyncChunks(FileSystem& files) const {
  // A bit comes after its bytes: so those of this snapshot are covered.
  Bytes snapshot = present->Snapshot();
  RETURN_IF_ERROR(Annotate(files.SyncData(data_for_writing.get()), (path / kDataFile).string()));
  return snapshot;
}

Status LayerDirectory::NoteSynced(FileSystem& files, Bytes chunks) {
  RETURN_IF_ERROR(WriteFileAtomically(files, path / kSyncedFile, chunks, kPrivate));
  synced = std::move(chunks);
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

Status LayerDirectory::ForgetPresent(FileSystem& files) const {
  std::error_code error;
  if (!std::filesystem::remove(path / kPresentFile, error)) {
    return error ? ErrnoError(error.value(), (path / kPresentFile).string()) : OkStatus();
  }
  return SyncDirectory(files, path);
}

void LayerDirectory::ReadFilesAhead(FileSystem& files) const {
  for (const auto& [name, file] :
       {std::pair(kIndexFile, &index), {kChunkTableFile, &chunk_table}}) {
    if (const auto fd = files.Open(path / name, O_RDONLY | O_CLOEXEC, 0); fd.ok()) {
      files.ReadAhead(fd->get(), 0, std::min<uint64_t>(file->bytes().size(), kMaxAheadBytes));
    }
  }
}

std::string_view LayerDirectory::DamagedFile() const {
  if (index.is_damaged()) {
    return kIndexFile;
  }
  return chunk_table.is_damaged() ? kChunkTableFile : std::string_view();
}

void LayerDirectory::ForgetDoubtful(const std::filesystem::path& path) {
  std::error_code ignored;  // then they are doubted again
  std::filesystem::remove(path / kDoubtfulFile, ignored);
}

uint64_t DiskBytes(const std::filesystem::path& path) {
  const std::unique_ptr<DIR, int (*)(DIR*)> directory(::opendir(path.c_str()), ::closedir);
  if (!directory) {
    return 0;
  }
  uint64_t blocks = 0;
  while (const dirent* entry = ::readdir(directory.get())) {
    struct stat attributes{};
    if (entry->d_name != std::string_view("..") &&
        ::fstatat(::dirfd(directory.get()), entry->d_name, &attributes, AT_SYMLINK_NOFOLLOW) == 0) {
      blocks += static_cast<uint64_t>(attributes.st_blocks);
    }
  }
  return blocks * 512;
}

}  // namespace starling::store
