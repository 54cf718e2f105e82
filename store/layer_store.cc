#include "store/layer_store.h"

#include <fcntl.h>
#include <sys/file.h>

#include <atomic>
#include <cerrno>
#include <charconv>
#include <map>
#include <optional>
#include <set>

#include "base/copy_fd.h"
#include "base/mutex.h"
#include "base/temp_dir.h"
#include "store/stored_layer_state.h"

namespace starling::store {
namespace {

constexpr uint64_t kVersion = 1;
constexpr uint64_t kMaxVersionBytes = 64;
constexpr const char* kVersionFile = "version";
constexpr const char* kLockFile = "lock";
constexpr std::string_view kUnfinishedPrefix = ".new-";
constexpr std::string_view kDoomedPrefix = ".old-";
constexpr const char* kBootIdFile = "/proc/sys/kernel/random/boot_id";
constexpr size_t kBootIdBytes = 36;  // a UUID

std::string NameOf(const LayerKey& key) { return key.layer.Hex() + "." + key.toc.Hex(); }

std::optional<LayerKey> KeyOf(const std::string& name) {
  const size_t dot = name.find('.');
  if (dot == std::string::npos) {
    return std::nullopt;
  }
  const auto layer = oci::Digest::Parse("sha256:" + name.substr(0, dot));
  const auto toc = oci::Digest::Parse("sha256:" + name.substr(dot + 1));
  if (!layer.ok() || !toc.ok()) {
    return std::nullopt;
  }
  return LayerKey{.layer = *layer, .toc = *toc};
}

StatusOr<std::vector<std::string>> EntriesOf(const std::filesystem::path& directory) {
  std::vector<std::string> names;
  std::error_code error;
  auto entry = std::filesystem::directory_iterator(directory, error);
  for (; !error && entry != std::filesystem::directory_iterator(); entry.increment(error)) {
    names.push_back(entry->path().filename().string());
  }
  if (error) {
    return ErrnoError(error.value(), fmt::format("list {}", directory.string()));
  }
  return names;
}

enum class Found { kStore, kNothing };

/// Refuses a directory that is not ours, without touching it.
StatusOr<Found> CheckVersion(FileSystem& files, const std::filesystem::path& root) {
  const auto text = ReadFile(files, root / kVersionFile, kMaxVersionBytes);
  if (text.status().code() == StatusCode::kNotFound) {
    ASSIGN_OR_RETURN(const auto names, EntriesOf(root));
    for (const std::string& name : names) {
      // A crash in the first Open leaves these.
      if (name != kLockFile && name != std::string(kVersionFile) + ".new") {
        return MakeError(StatusCode::kFailedPrecondition,
                         fmt::format("{} is not a layer store and holds {}: choose another "
                                     "directory or an empty one",
                                     root.string(), name));
      }
    }
    return Found::kNothing;
  }
  RETURN_IF_ERROR(text.status());
  uint64_t version = 0;
  const std::string_view digits = AsText(*text);
  const auto parsed = std::from_chars(digits.data(), digits.data() + digits.size(), version);
  if (parsed.ec != std::errc() ||
      digits.substr(static_cast<size_t>(parsed.ptr - digits.data())) != "\n") {
    return MakeError(StatusCode::kDataLoss,
                     fmt::format("{} is damaged: remove {} to start with an empty store",
                                 (root / kVersionFile).string(), root.string()));
  }
  if (version != kVersion) {
    return MakeError(StatusCode::kFailedPrecondition,
                     fmt::format("{} has version {}, this program knows {}: use the program that "
                                 "wrote it, or another directory",
                                 root.string(), version, kVersion));
  }
  return Found::kStore;
}

StatusOr<UniqueFd> TakeLock(FileSystem& files, const std::filesystem::path& root) {
  ASSIGN_OR_RETURN(UniqueFd lock, files.Open(root / kLockFile, O_RDWR | O_CREAT, 0600));
  if (::flock(lock.get(), LOCK_EX | LOCK_NB) != 0) {
    if (errno == EWOULDBLOCK) {
      return MakeError(StatusCode::kFailedPrecondition,
                       fmt::format("another process uses {}: stop it or choose another directory",
                                   root.string()));
    }
    return ErrnoError(errno, fmt::format("lock {}", (root / kLockFile).string()));
  }
  return lock;
}

Status RemoveLeftovers(const std::filesystem::path& root) {
  ASSIGN_OR_RETURN(const auto names, EntriesOf(root));
  for (const std::string& name : names) {
    if (name.starts_with(kUnfinishedPrefix) || name.starts_with(kDoomedPrefix)) {
      std::error_code error;
      std::filesystem::remove_all(root / name, error);
      if (error) {
        return ErrnoError(error.value(), fmt::format("remove {}", (root / name).string()));
      }
    }
  }
  return OkStatus();
}

StatusOr<std::string> ReadBootId(FileSystem& files) {
  ASSIGN_OR_RETURN(const UniqueFd fd, files.Open(kBootIdFile, O_RDONLY, 0));
  std::string boot_id(kBootIdBytes, '\0');
  RETURN_IF_ERROR(
      Annotate(files.ReadAt(fd.get(), 0, std::as_writable_bytes(std::span(boot_id))), kBootIdFile));
  return boot_id;
}

LayerRecord RecordOf(const LayerKey& key, const LayerInfo& info, ByteSpan index,
                     ByteSpan chunk_table) {
  return {
      .key = key,
      .info = info,
      .index = {.size_bytes = index.size(), .digest = oci::Digest::Of(index)},
      .chunk_table = {.size_bytes = chunk_table.size(), .digest = oci::Digest::Of(chunk_table)}};
}

bool IsDamage(const Status& status) {
  return status.code() == StatusCode::kDataLoss || status.code() == StatusCode::kNotFound;
}

}  // namespace

struct LayerStore::State {
  /// The right to work on one layer's directory, so that no mutex is held meanwhile.
  class Lease {
   public:
    Lease(State& state, const LayerKey& key) : state_(state), key_(key) {
      const MutexLock guard(state_.mutex);
      while (!state_.leased.insert(key_).second) {
        state_.lease_ended.Wait(state_.mutex);
      }
    }
    ~Lease() {
      const MutexLock guard(state_.mutex);
      state_.leased.erase(key_);
      state_.lease_ended.NotifyAll();
    }
    Lease(const Lease&) = delete;
    Lease& operator=(const Lease&) = delete;

   private:
    State& state_;
    const LayerKey& key_;
  };

  State(std::filesystem::path root_directory, FileSystem& file_system, UniqueFd held_lock,
        std::string running_boot, Room::Options room_options, OnDiskWait disk_wait)
      : root(std::move(root_directory)),
        files(file_system),
        room(std::make_shared<Room>(std::move(room_options))),
        lock(std::make_shared<const UniqueFd>(std::move(held_lock))),
        boot_id(std::move(running_boot)),
        on_disk_wait(std::move(disk_wait)) {}

  std::filesystem::path PathOf(const LayerKey& key) const { return root / NameOf(key); }

  /// Gives a complete directory its name.
  Status Publish(TempDir& unfinished, const LayerKey& key) const {
    RETURN_IF_ERROR(files.Rename(unfinished.path(), PathOf(key)));
    unfinished.Release();
    return SyncDirectory(files, root);
  }

  std::shared_ptr<RoomShare> ShareOf(const LayerKey& key) {
    const MutexLock guard(mutex);
    std::shared_ptr<RoomShare>& share = shares[key];
    if (!share) {
      share = std::make_shared<RoomShare>(room);
    }
    return share;
  }

  std::shared_ptr<StoredLayer> Held(const LayerKey& key) {
    const MutexLock guard(mutex);
    const auto at = held.find(key);
    return at == held.end() ? nullptr : at->second.lock();
  }

  const std::filesystem::path root;
  FileSystem& files;
  const std::shared_ptr<Room> room;
  const std::shared_ptr<const UniqueFd> lock;
  const std::string boot_id;
  const OnDiskWait on_disk_wait;

  Mutex mutex;  // leaf
  Condition lease_ended;
  std::set<LayerKey> leased GUARDED_BY(mutex);
  std::map<LayerKey, std::weak_ptr<StoredLayer>> held GUARDED_BY(mutex);
  std::map<LayerKey, std::shared_ptr<RoomShare>> shares GUARDED_BY(mutex);  // of stored layers
};

StatusOr<std::unique_ptr<LayerStore>> LayerStore::Open(const std::filesystem::path& root,
                                                       FileSystem& files, Room::Options room,
                                                       UniqueFd lock, OnDiskWait on_disk_wait) {
  RETURN_IF_ERROR(MakeDirectories(root, 0700));
  ASSIGN_OR_RETURN(const Found found, CheckVersion(files, root));
  if (!lock.valid()) {
    ASSIGN_OR_RETURN(lock, TakeLock(files, root));
  }
  RETURN_IF_ERROR(RemoveLeftovers(root));
  if (found == Found::kNothing) {
    RETURN_IF_ERROR(WriteFileAtomically(files, root / kVersionFile,
                                        AsBytes(fmt::format("{}\n", kVersion)), 0600));
    RETURN_IF_ERROR(SyncDirectory(files, root));
  }
  ASSIGN_OR_RETURN(std::string boot_id, ReadBootId(files));
  auto store = std::unique_ptr<LayerStore>(new LayerStore(std::make_unique<State>(
      root, files, std::move(lock), std::move(boot_id), std::move(room), std::move(on_disk_wait))));
  ASSIGN_OR_RETURN(const std::vector<LayerKey> stored, store->List());
  for (const LayerKey& key : stored) {
    store->Recount(key);
  }
  return store;
}

LayerStore::LayerStore(std::unique_ptr<State> state) : state_(std::move(state)) {}

LayerStore::~LayerStore() = default;

StatusOr<UniqueFd> LayerStore::CopyLock() const { return CopyFd(state_->lock->get()); }

StatusOr<std::shared_ptr<StoredLayer>> LayerStore::Find(const LayerKey& key) {
  if (auto held = state_->Held(key)) {
    return held;
  }
  const State::Lease lease(*state_, key);
  return FindLeased(key);
}

StatusOr<std::shared_ptr<StoredLayer>> LayerStore::FindLeased(const LayerKey& key) {
  if (auto held = state_->Held(key)) {
    return held;
  }
  const std::filesystem::path path = state_->PathOf(key);
  std::error_code error;
  if (!std::filesystem::exists(path, error)) {
    if (error) {
      return ErrnoError(error.value(), fmt::format("stat {}", path.string()));
    }
    return MakeError(StatusCode::kNotFound,
                     fmt::format("layer {} is not stored", key.layer.ToString()));
  }
  auto directory = LayerDirectory::Open(state_->files, path, key, state_->boot_id);
  if (IsDamage(directory.status())) {
    RETURN_IF_ERROR(Annotate(RemoveLeased(key), "remove a damaged layer"));
    return MakeError(StatusCode::kNotFound,
                     fmt::format("layer {} was damaged and is removed: {}", key.layer.ToString(),
                                 MessageOf(directory.status())));
  }
  RETURN_IF_ERROR(directory.status());
  std::function<void()> on_wait;
  if (state_->on_disk_wait) {
    on_wait = [tell = state_->on_disk_wait, key] { tell(key); };
  }
  const std::shared_ptr<StoredLayer> layer(new StoredLayer(std::unique_ptr<StoredLayer::State>(
      new StoredLayer::State{.files = state_->files,
                             .store_lock = state_->lock,
                             .room = state_->ShareOf(key),
                             .directory = *std::move(directory),
                             .reader = DataReader(state_->files, std::move(on_wait))})));
  layer->Recount();
  const MutexLock guard(state_->mutex);
  state_->held[key] = layer;
  return layer;
}

StatusOr<std::shared_ptr<StoredLayer>> LayerStore::Create(const LayerKey& key,
                                                          const LayerInfo& info, ByteSpan index,
                                                          ByteSpan chunk_table) {
  RETURN_IF_ERROR(CheckInfo(info));
  const State::Lease lease(*state_, key);
  if (auto existing = FindLeased(key);
      existing.ok() || existing.status().code() != StatusCode::kNotFound) {
    return existing;
  }
  ASSIGN_OR_RETURN(TempDir unfinished, TempDir::Make(state_->root, kUnfinishedPrefix));
  RETURN_IF_ERROR(LayerDirectory::Write(state_->files, unfinished.path(),
                                        RecordOf(key, info, index, chunk_table), index, chunk_table,
                                        state_->boot_id));
  RETURN_IF_ERROR(state_->Publish(unfinished, key));
  return FindLeased(key);
}

struct LayerWriter::State {
  LayerStore& store;
  LayerKey key;
  std::shared_ptr<RoomShare> room;
  TempDir unfinished;
  UniqueFd data;
  std::atomic<uint64_t> chunk_bytes = 0;
};

LayerWriter::LayerWriter(std::unique_ptr<State> state) : state_(std::move(state)) {}

LayerWriter::~LayerWriter() = default;

StatusOr<std::unique_ptr<LayerWriter>> LayerStore::Begin(const LayerKey& key) {
  ASSIGN_OR_RETURN(TempDir unfinished, TempDir::Make(state_->root, kUnfinishedPrefix));
  ASSIGN_OR_RETURN(UniqueFd data, state_->files.Open(unfinished.path() / kDataFile,
                                                     O_RDWR | O_CREAT | O_EXCL, 0600));
  return std::unique_ptr<LayerWriter>(new LayerWriter(std::unique_ptr<LayerWriter::State>(
      new LayerWriter::State{.store = *this,
                             .key = key,
                             .room = std::make_shared<RoomShare>(state_->room),
                             .unfinished = std::move(unfinished),
                             .data = std::move(data)})));
}

Status LayerWriter::Write(uint64_t data_address, ByteSpan bytes, uint64_t padding_bytes) {
  LayerStore::State& shared = *state_->store.state_;
  const Status taken = state_->room->Take(bytes.size());
  shared.room->Tell();
  RETURN_IF_ERROR(taken);
  const Status written = shared.files.WriteAt(state_->data.get(), data_address, bytes);
  if (written.ok()) {
    state_->chunk_bytes.fetch_add(bytes.size() - padding_bytes, std::memory_order_relaxed);
  } else {
    state_->room->Give(bytes.size());
  }
  if (written.code() == StatusCode::kResourceExhausted) {
    shared.room->NoteDiskFull();
    shared.room->Tell();
  }
  return Annotate(written, (state_->unfinished.path() / kDataFile).string());
}

StatusOr<std::shared_ptr<StoredLayer>> LayerWriter::Commit(const LayerInfo& info, ByteSpan index,
                                                           ByteSpan chunk_table) {
  RETURN_IF_ERROR(CheckInfo(info));
  LayerStore& store = state_->store;
  LayerStore::State& shared = *store.state_;
  const LayerStore::State::Lease lease(shared, state_->key);
  if (auto existing = store.FindLeased(state_->key);
      existing.ok() || existing.status().code() != StatusCode::kNotFound) {
    return existing;
  }
  RETURN_IF_ERROR(LayerDirectory::WriteAround(
      shared.files, state_->unfinished.path(), RecordOf(state_->key, info, index, chunk_table),
      index, chunk_table, shared.boot_id, state_->data.get(), state_->chunk_bytes));
  RETURN_IF_ERROR(shared.Publish(state_->unfinished, state_->key));
  {
    const MutexLock guard(shared.mutex);
    shared.shares[state_->key] = state_->room;
  }
  return store.FindLeased(state_->key);
}

Status LayerStore::Remove(const LayerKey& key) {
  const State::Lease lease(*state_, key);
  return RemoveLeased(key);
}

Status LayerStore::RemoveLeased(const LayerKey& key) {
  std::shared_ptr<RoomShare> share;  // goes after the files
  // Renamed first, so that a crash leaves the whole layer or a leftover.
  ASSIGN_OR_RETURN(const TempDir doomed, TempDir::Make(state_->root, kDoomedPrefix));
  const std::shared_ptr<StoredLayer> held = state_->Held(key);
  if (held == nullptr) {
    RETURN_IF_ERROR(state_->files.Rename(state_->PathOf(key), doomed.path() / "layer"));
  } else {
    const MutexLock lock(held->state_->checkpoint_mutex);
    RETURN_IF_ERROR(state_->files.Rename(state_->PathOf(key), doomed.path() / "layer"));
    held->state_->removed = true;
  }
  {
    const MutexLock guard(state_->mutex);
    state_->held.erase(key);
    if (const auto known = state_->shares.find(key); known != state_->shares.end()) {
      share = std::move(known->second);
      state_->shares.erase(known);
    }
  }
  return SyncDirectory(state_->files, state_->root);
}

Room& LayerStore::room() const { return *state_->room; }

/// Counts a layer's files anew, for what else than chunks may have changed.
void LayerStore::Recount(const LayerKey& key) {
  if (const auto held = state_->Held(key)) {
    held->Recount();
  } else {
    state_->ShareOf(key)->Set(DiskBytes(state_->PathOf(key)));
  }
}

StatusOr<std::vector<LayerKey>> LayerStore::List() {
  ASSIGN_OR_RETURN(const auto names, EntriesOf(state_->root));
  std::vector<LayerKey> keys;
  for (const std::string& name : names) {
    if (const auto key = KeyOf(name)) {
      keys.push_back(*key);
    }
  }
  return keys;
}

Status LayerStore::WriteDerived(const LayerKey& key, std::string_view name, ByteSpan bytes) {
  // So that the directory is not removed, or another layer's, meanwhile.
  const State::Lease lease(*state_, key);
  const auto path = state_->PathOf(key);
  std::error_code error;
  if (!std::filesystem::exists(path, error)) {
    return MakeError(StatusCode::kNotFound,
                     fmt::format("layer {} is not stored", key.layer.ToString()));
  }
  RETURN_IF_ERROR(WriteFileAtomically(state_->files, path / name, bytes, 0600));
  Recount(key);
  return OkStatus();
}

StatusOr<Bytes> LayerStore::ReadDerived(const LayerKey& key, std::string_view name,
                                        uint64_t limit_bytes) {
  return ReadFile(state_->files, state_->PathOf(key) / name, limit_bytes);
}

Status LayerStore::Checkpoint() {
  state_->room->NoteSaved();
  std::vector<std::shared_ptr<StoredLayer>> layers;
  {
    const MutexLock guard(state_->mutex);
    for (const auto& [key, layer] : state_->held) {
      if (auto alive = layer.lock()) {
        layers.push_back(std::move(alive));
      }
    }
  }
  Status first_error;
  for (const auto& layer : layers) {
    if (Status status = layer->Checkpoint(); first_error.ok()) {
      first_error = std::move(status);
    }
  }
  return first_error;
}

}  // namespace starling::store
