#include "standalone/store.h"

#include <fcntl.h>
#include <sys/file.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <random>

#include "base/file_system.h"
#include "base/mutex.h"
#include "snapshotter/sqlite.h"

namespace starling::standalone {
namespace {

namespace fs = std::filesystem;
using snapshotter::Database;
using snapshotter::Query;
using snapshotter::Transaction;

constexpr uint64_t kSchemaVersion = 1;
constexpr const char* kSchema = R"(
CREATE TABLE store (id TEXT NOT NULL);
CREATE TABLE content (
  digest TEXT PRIMARY KEY,
  size_bytes INTEGER NOT NULL,
  deleted INTEGER NOT NULL
) WITHOUT ROWID;
CREATE TABLE label (
  digest TEXT NOT NULL REFERENCES content(digest) ON DELETE CASCADE,
  key TEXT NOT NULL,
  value TEXT NOT NULL,
  PRIMARY KEY (digest, key)
) WITHOUT ROWID;
CREATE TABLE image (
  name TEXT PRIMARY KEY,
  media_type TEXT NOT NULL,
  digest TEXT NOT NULL,
  size_bytes INTEGER NOT NULL
) WITHOUT ROWID;
CREATE TABLE lease (
  id TEXT PRIMARY KEY,
  expires_s INTEGER NOT NULL
) WITHOUT ROWID;
CREATE TABLE held (
  lease TEXT NOT NULL REFERENCES lease(id) ON DELETE CASCADE,
  type TEXT NOT NULL,
  name TEXT NOT NULL,
  PRIMARY KEY (lease, type, name)
) WITHOUT ROWID;
PRAGMA user_version = 1;
)";

constexpr std::string_view kContentType = "content";
constexpr std::string_view kSnapshotType = "snapshot";
/// For which other writers wait at most: a Collect holds them up for kSnapshotsAtOnce removals.
constexpr std::chrono::minutes kBusyTimeout{2};
constexpr size_t kSnapshotsAtOnce = 32;
constexpr mode_t kDirectoryMode = 0700;
constexpr mode_t kFileMode = 0600;
// What is lost with the power is built again; nothing that is half there is taken for whole.
constexpr Database::Sync kSync = Database::Sync::kWithTheNext;

Status NotFound(std::string_view kind, std::string_view name) {
  return MakeError(StatusCode::kNotFound, fmt::format("{} {} is not there", kind, name));
}

Status AlreadyExists(std::string_view kind, std::string_view name) {
  return MakeError(StatusCode::kAlreadyExists, fmt::format("{} {} is there", kind, name));
}

std::string NewId() {
  std::random_device random;
  return fmt::format("{:08x}{:08x}", random(), random());
}

StatusOr<uint64_t> VersionOf(Database& database) {
  Query query = database.Prepare("PRAGMA user_version");
  ASSIGN_OR_RETURN(const bool found, query.Step());
  return found ? query.Number(0) : 0;
}

Status MakeSchema(Database& database, const fs::path& file) {
  ASSIGN_OR_RETURN(const uint64_t version, VersionOf(database));
  if (version > kSchemaVersion) {
    return MakeError(StatusCode::kFailedPrecondition,
                     fmt::format("{} has format {}, written by a newer starling; this one knows {} "
                                 "at most: run that version, or name another --state-dir",
                                 file.native(), version, kSchemaVersion));
  }
  if (version == kSchemaVersion) {
    return OkStatus();
  }
  Transaction transaction(database);
  RETURN_IF_ERROR(transaction.Begin());
  RETURN_IF_ERROR(database.Execute(kSchema));
  RETURN_IF_ERROR(database.Prepare("INSERT INTO store (id) VALUES (?)").Bind(NewId()).Run());
  return transaction.Commit();
}

StatusOr<std::string> ReadId(Database& database, const fs::path& file) {
  Query query = database.Prepare("SELECT id FROM store");
  ASSIGN_OR_RETURN(const bool found, query.Step());
  const std::string id = found ? query.Text(0) : "";
  // It becomes a part of names and of an expression.
  if (id.empty() || id.find_first_not_of("0123456789abcdef") != std::string::npos) {
    return MakeError(StatusCode::kDataLoss, fmt::format("{} has no id", file.native()));
  }
  return id;
}

/// Whether the lease holds it already.
StatusOr<bool> IsHeld(Database& database, const std::string& lease, std::string_view type,
                      const std::string& name) {
  Query query = database.Prepare(
      "SELECT EXISTS (SELECT 1 FROM held WHERE held.lease = lease.id AND type = ? AND name = ?) "
      "FROM lease WHERE id = ?");
  ASSIGN_OR_RETURN(const bool found, query.Bind(type).Bind(name).Bind(lease).Step());
  if (!found) {
    return MakeError(
        StatusCode::kFailedPrecondition,
        fmt::format("lease {} has ended: its build was stopped, or took too long", lease));
  }
  return query.Number(0) != 0;
}

Status HoldIn(Database& database, const std::string& lease, std::string_view type,
              const std::string& name) {
  if (lease.empty()) {
    return OkStatus();
  }
  ASSIGN_OR_RETURN(const bool held, IsHeld(database, lease, type, name));
  return held ? OkStatus()
              : database.Prepare("INSERT OR IGNORE INTO held (lease, type, name) VALUES (?, ?, ?)")
                    .Bind(lease)
                    .Bind(type)
                    .Bind(name)
                    .Run();
}

/// Of the row that is not deleted.
StatusOr<uint64_t> SizeOf(Database& database, const oci::Digest& digest) {
  const std::string text = digest.ToString();
  Query query = database.Prepare("SELECT size_bytes FROM content WHERE digest = ? AND deleted = 0");
  ASSIGN_OR_RETURN(const bool found, query.Bind(text).Step());
  if (!found) {
    return NotFound("blob", text);
  }
  return query.Number(0);
}

Status WriteLabels(Database& database, const oci::Digest& digest, const Labels& labels) {
  for (const auto& [key, value] : labels) {
    RETURN_IF_ERROR(value.empty()
                        ? database.Prepare("DELETE FROM label WHERE digest = ? AND key = ?")
                              .Bind(digest.ToString())
                              .Bind(key)
                              .Run()
                        : database
                              .Prepare("INSERT OR REPLACE INTO label (digest, key, value) "
                                       "VALUES (?, ?, ?)")
                              .Bind(digest.ToString())
                              .Bind(key)
                              .Bind(value)
                              .Run());
  }
  return OkStatus();
}

StatusOr<Labels> ReadLabels(Database& database, const oci::Digest& digest) {
  Labels labels;
  Query query = database.Prepare("SELECT key, value FROM label WHERE digest = ?");
  query.Bind(digest.ToString());
  while (true) {
    ASSIGN_OR_RETURN(const bool found, query.Step());
    if (!found) {
      return labels;
    }
    labels.emplace(query.Text(0), query.Text(1));
  }
}

StatusOr<Store::Image> ImageOf(const Query& row) {
  ASSIGN_OR_RETURN(const oci::Digest digest, oci::Digest::Parse(row.Text(2)));
  Store::Image image{.name = row.Text(0), .target = {}};
  image.target.media_type = row.Text(1);
  image.target.digest = digest;
  image.target.size_bytes = row.Number(3);
  return image;
}

struct ContentRow {
  std::string digest;
  uint64_t size_bytes = 0;
  bool is_deleted = false;
  Labels labels;
};

/// All of them, sorted.
StatusOr<std::vector<ContentRow>> ReadContents(Database& database) {
  std::vector<ContentRow> rows;
  Query query = database.Prepare(
      "SELECT c.digest, c.size_bytes, c.deleted, l.key, l.value FROM content AS c "
      "LEFT JOIN label AS l ON l.digest = c.digest ORDER BY c.digest");
  while (true) {
    ASSIGN_OR_RETURN(const bool found, query.Step());
    if (!found) {
      return rows;
    }
    std::string digest = query.Text(0);
    if (rows.empty() || rows.back().digest != digest) {
      rows.push_back({.digest = std::move(digest),
                      .size_bytes = query.Number(1),
                      .is_deleted = query.Number(2) != 0,
                      .labels = {}});
    }
    // Without labels, there is a row for none.
    if (std::string key = query.Text(3); !key.empty()) {
      rows.back().labels.emplace(std::move(key), query.Text(4));
    }
  }
}

/// What is in the database; the snapshots are the caller's to add.
StatusOr<Holdings> ReadHoldings(Database& database) {
  Holdings holdings;
  ASSIGN_OR_RETURN(std::vector<ContentRow> rows, ReadContents(database));
  for (ContentRow& row : rows) {
    holdings.contents.push_back({.digest = std::move(row.digest),
                                 .labels = std::move(row.labels),
                                 .is_deleted = row.is_deleted});
  }
  Query held = database.Prepare("SELECT type, name FROM held");
  while (true) {
    ASSIGN_OR_RETURN(const bool found, held.Step());
    if (!found) {
      break;
    }
    (held.Text(0) == kContentType ? holdings.held_contents : holdings.held_snapshots)
        .insert(held.Text(1));
  }
  Query images = database.Prepare("SELECT digest FROM image");
  while (true) {
    ASSIGN_OR_RETURN(const bool found, images.Step());
    if (!found) {
      return holdings;
    }
    holdings.image_targets.insert(images.Text(0));
  }
}

}  // namespace

struct Store::State {
  State(fs::path of_store, Clock& wall_clock) : directory(std::move(of_store)), clock(wall_clock) {}

  const fs::path directory;
  Clock& clock;
  std::string id;
  Mutex mutex;  // leaf, but for what a Collect asks of its snapshots
  std::unique_ptr<Database> database GUARDED_BY(mutex);

  int64_t NowSeconds() const {
    return std::chrono::time_point_cast<std::chrono::seconds>(clock.WallTime())
        .time_since_epoch()
        .count();
  }
};

Store::Store(std::unique_ptr<State> state) : state_(std::move(state)) {}
Store::~Store() = default;

const std::string& Store::id() const { return state_->id; }

StatusOr<std::unique_ptr<Store>> Store::Open(fs::path directory, Clock& clock) {
  RETURN_IF_ERROR(MakeDirectories(directory / "blobs", kDirectoryMode));
  // SQLite lets nobody wait while the first of several makes the file.
  ASSIGN_OR_RETURN(const UniqueFd alone,
                   RealFileSystem().Open(directory, O_RDONLY | O_DIRECTORY, 0));
  if (::flock(alone.get(), LOCK_EX) != 0) {
    return ErrnoError(errno, directory.native());
  }
  const fs::path file = directory / "store.db";
  ASSIGN_OR_RETURN(std::unique_ptr<Database> database, Database::Open(file, kBusyTimeout));
  RETURN_IF_ERROR(MakeSchema(*database, file));
  auto state = std::make_unique<State>(std::move(directory), clock);
  ASSIGN_OR_RETURN(state->id, ReadId(*database, file));
  {
    MutexLock lock(state->mutex);
    state->database = std::move(database);
  }
  return std::unique_ptr<Store>(new Store(std::move(state)));
}

fs::path Store::BlobPath(const oci::Digest& digest) const {
  return state_->directory / "blobs" / digest.Hex();
}

StatusOr<Store::Content> Store::FindContent(const oci::Digest& digest, const std::string& lease) {
  MutexLock lock(state_->mutex);
  Database& database = *state_->database;
  Content content{.digest = digest, .size_bytes = 0, .labels = {}};
  ASSIGN_OR_RETURN(content.size_bytes, SizeOf(database, digest));
  if (!lease.empty()) {
    ASSIGN_OR_RETURN(const bool held, IsHeld(database, lease, kContentType, digest.ToString()));
    if (!held) {
      Transaction transaction(database, kSync);
      RETURN_IF_ERROR(transaction.Begin());
      // It may have been removed before nobody else could write.
      RETURN_IF_ERROR(SizeOf(database, digest).status());
      RETURN_IF_ERROR(HoldIn(database, lease, kContentType, digest.ToString()));
      RETURN_IF_ERROR(transaction.Commit());
    }
  }
  ASSIGN_OR_RETURN(content.labels, ReadLabels(database, digest));
  return content;
}

StatusOr<UniqueFd> Store::OpenContent(const oci::Digest& digest, const std::string& lease) {
  RETURN_IF_ERROR(FindContent(digest, lease).status());
  StatusOr<UniqueFd> file = RealFileSystem().Open(BlobPath(digest), O_RDONLY, 0);
  if (file.status().code() == StatusCode::kNotFound) {
    return NotFound("blob", digest.ToString());
  }
  return file;
}

StatusOr<std::vector<Store::Content>> Store::ListContent(const snapshotter::Filter& filter) {
  std::vector<ContentRow> rows;
  {
    MutexLock lock(state_->mutex);
    ASSIGN_OR_RETURN(rows, ReadContents(*state_->database));
  }
  std::vector<Content> all;
  for (ContentRow& row : rows) {
    if (!row.is_deleted) {
      ASSIGN_OR_RETURN(const oci::Digest digest, oci::Digest::Parse(row.digest));
      all.push_back(
          {.digest = digest, .size_bytes = row.size_bytes, .labels = std::move(row.labels)});
    }
  }
  std::erase_if(all, [&filter](const Content& content) {
    snapshotter::Info info;
    info.name = content.digest.ToString();
    info.labels = content.labels;
    return !filter.Matches(info);
  });
  return all;
}

Status Store::LabelContent(const oci::Digest& digest, const Labels& labels) {
  MutexLock lock(state_->mutex);
  Database& database = *state_->database;
  Transaction transaction(database, kSync);
  RETURN_IF_ERROR(transaction.Begin());
  RETURN_IF_ERROR(SizeOf(database, digest).status());
  RETURN_IF_ERROR(WriteLabels(database, digest, labels));
  return transaction.Commit();
}

Status Store::DeleteContent(const oci::Digest& digest) {
  MutexLock lock(state_->mutex);
  Database& database = *state_->database;
  RETURN_IF_ERROR(database.SetSync(kSync));
  RETURN_IF_ERROR(
      database.Prepare("UPDATE content SET deleted = 1 WHERE digest = ? AND deleted = 0")
          .Bind(digest.ToString())
          .Run());
  return database.changes() == 1 ? OkStatus() : NotFound("blob", digest.ToString());
}

StatusOr<UniqueFd> Store::ScratchFile() const {
  return RealFileSystem().Open(state_->directory, O_RDWR | O_TMPFILE, kFileMode);
}

StatusOr<std::unique_ptr<Store::Ingest>> Store::NewIngest() {
  ASSIGN_OR_RETURN(UniqueFd file, ScratchFile());
  return std::unique_ptr<Ingest>(new Ingest(*this, std::move(file)));
}

Status Store::Ingest::Write(ByteSpan bytes) {
  FdSink sink(file_.get());
  RETURN_IF_ERROR(sink.Write(bytes));
  hash_.Update(bytes);
  size_bytes_ += bytes.size();
  return OkStatus();
}

Status Store::Ingest::Commit(const std::optional<oci::Digest>& expected, const Labels& labels,
                             const std::string& lease) {
  const oci::Digest digest = hash_.Finish();
  if (expected && digest != *expected) {
    return MakeError(
        StatusCode::kFailedPrecondition,
        fmt::format("the blob's digest is {}, not {}", digest.ToString(), expected->ToString()));
  }
  return store_.Publish(file_, {.digest = digest, .size_bytes = size_bytes_, .labels = labels},
                        lease);
}

Status Store::Publish(const UniqueFd& file, const Content& content, const std::string& lease) {
  // A blob with a name has its bytes, also after a loss of power.
  RETURN_IF_ERROR(RealFileSystem().SyncData(file.get()));
  MutexLock lock(state_->mutex);
  Database& database = *state_->database;
  Transaction transaction(database, kSync);
  RETURN_IF_ERROR(transaction.Begin());
  const std::string digest = content.digest.ToString();
  RETURN_IF_ERROR(HoldIn(database, lease, kContentType, digest));
  const StatusOr<uint64_t> stored = SizeOf(database, content.digest);
  if (stored.ok()) {
    RETURN_IF_ERROR(transaction.Commit());
    return AlreadyExists("blob", digest);
  }
  if (stored.status().code() != StatusCode::kNotFound) {
    return stored.status();
  }
  // One that is there has no row yet, or a deleted one: files get names and lose them only while
  // nobody else writes.
  const fs::path path = BlobPath(content.digest);
  if (::linkat(AT_FDCWD, fmt::format("/proc/self/fd/{}", file.get()).c_str(), AT_FDCWD,
               path.c_str(), AT_SYMLINK_FOLLOW) != 0 &&
      errno != EEXIST) {
    return ErrnoError(errno, path.native());
  }
  RETURN_IF_ERROR(database.Prepare("DELETE FROM content WHERE digest = ?").Bind(digest).Run());
  RETURN_IF_ERROR(
      database.Prepare("INSERT INTO content (digest, size_bytes, deleted) VALUES (?, ?, 0)")
          .Bind(digest)
          .Bind(content.size_bytes)
          .Run());
  RETURN_IF_ERROR(WriteLabels(database, content.digest, content.labels));
  return transaction.Commit();
}

Status Store::CreateImage(const Image& image) {
  MutexLock lock(state_->mutex);
  Database& database = *state_->database;
  RETURN_IF_ERROR(database.SetSync(kSync));
  RETURN_IF_ERROR(database
                      .Prepare("INSERT OR IGNORE INTO image (name, media_type, digest, size_bytes) "
                               "VALUES (?, ?, ?, ?)")
                      .Bind(image.name)
                      .Bind(image.target.media_type)
                      .Bind(image.target.digest.ToString())
                      .Bind(image.target.size_bytes)
                      .Run());
  return database.changes() == 1 ? OkStatus() : AlreadyExists("image", image.name);
}

Status Store::UpdateImage(const Image& image) {
  MutexLock lock(state_->mutex);
  Database& database = *state_->database;
  RETURN_IF_ERROR(database.SetSync(kSync));
  RETURN_IF_ERROR(
      database.Prepare("UPDATE image SET media_type = ?, digest = ?, size_bytes = ? WHERE name = ?")
          .Bind(image.target.media_type)
          .Bind(image.target.digest.ToString())
          .Bind(image.target.size_bytes)
          .Bind(image.name)
          .Run());
  return database.changes() == 1 ? OkStatus() : NotFound("image", image.name);
}

StatusOr<Store::Image> Store::FindImage(const std::string& name) {
  MutexLock lock(state_->mutex);
  Query query = state_->database->Prepare(
      "SELECT name, media_type, digest, size_bytes FROM image WHERE name = ?");
  ASSIGN_OR_RETURN(const bool found, query.Bind(name).Step());
  return found ? ImageOf(query) : NotFound("image", name);
}

StatusOr<std::vector<Store::Image>> Store::ListImages() {
  MutexLock lock(state_->mutex);
  std::vector<Image> images;
  Query query = state_->database->Prepare(
      "SELECT name, media_type, digest, size_bytes FROM image ORDER BY name");
  while (true) {
    ASSIGN_OR_RETURN(const bool found, query.Step());
    if (!found) {
      return images;
    }
    ASSIGN_OR_RETURN(Image image, ImageOf(query));
    images.push_back(std::move(image));
  }
}

Status Store::ForgetImages() {
  MutexLock lock(state_->mutex);
  RETURN_IF_ERROR(state_->database->SetSync(kSync));
  return state_->database->Prepare("DELETE FROM image").Run();
}

Status Store::CreateLease(const std::string& id, std::chrono::sys_seconds expires) {
  if (id.empty()) {
    return MakeError(StatusCode::kInvalidArgument, "a lease needs an id");
  }
  MutexLock lock(state_->mutex);
  Database& database = *state_->database;
  RETURN_IF_ERROR(database.SetSync(kSync));
  RETURN_IF_ERROR(database.Prepare("INSERT OR IGNORE INTO lease (id, expires_s) VALUES (?, ?)")
                      .Bind(id)
                      .Bind(int64_t{expires.time_since_epoch().count()})
                      .Run());
  return database.changes() == 1 ? OkStatus() : AlreadyExists("lease", id);
}

Status Store::DeleteLease(const std::string& id) {
  MutexLock lock(state_->mutex);
  Database& database = *state_->database;
  RETURN_IF_ERROR(database.SetSync(kSync));
  RETURN_IF_ERROR(database.Prepare("DELETE FROM lease WHERE id = ?").Bind(id).Run());
  return database.changes() == 1 ? OkStatus() : NotFound("lease", id);
}

Status Store::HoldSnapshot(const std::string& lease, const std::string& name) {
  MutexLock lock(state_->mutex);
  RETURN_IF_ERROR(state_->database->SetSync(kSync));
  return HoldIn(*state_->database, lease, kSnapshotType, name);
}

Status Store::ReleaseSnapshot(const std::string& lease, const std::string& name) {
  MutexLock lock(state_->mutex);
  RETURN_IF_ERROR(state_->database->SetSync(kSync));
  return state_->database->Prepare("DELETE FROM held WHERE lease = ? AND type = ? AND name = ?")
      .Bind(lease)
      .Bind(kSnapshotType)
      .Bind(name)
      .Run();
}

Status Store::HoldContent(const std::string& lease, const oci::Digest& digest) {
  MutexLock lock(state_->mutex);
  RETURN_IF_ERROR(state_->database->SetSync(kSync));
  return HoldIn(*state_->database, lease, kContentType, digest.ToString());
}

StatusOr<Store::Collected> Store::Collect(SnapshotTree& snapshots) {
  Collected collected;
  while (true) {
    ASSIGN_OR_RETURN(const bool more, CollectSome(snapshots, collected));
    if (!more) {
      break;
    }
  }
  RETURN_IF_ERROR(RemoveFiles());
  return collected;
}

/// True: there are snapshots left to remove.
StatusOr<bool> Store::CollectSome(SnapshotTree& snapshots, Collected& collected) {
  MutexLock lock(state_->mutex);
  Database& database = *state_->database;
  Transaction transaction(database, kSync);
  RETURN_IF_ERROR(transaction.Begin());
  RETURN_IF_ERROR(
      database.Prepare("DELETE FROM lease WHERE expires_s <= ?").Bind(state_->NowSeconds()).Run());
  // In this order: what is held is written down before it is made, and nobody writes now.
  ASSIGN_OR_RETURN(Holdings holdings, ReadHoldings(database));
  ASSIGN_OR_RETURN(holdings.snapshots, snapshots.All());
  const Garbage garbage = FindGarbage(holdings);
  for (const std::string& digest : garbage.contents) {
    Query query = database.Prepare("DELETE FROM content WHERE digest = ? RETURNING size_bytes");
    ASSIGN_OR_RETURN(const bool found, query.Bind(digest).Step());
    collected.bytes += found ? query.Number(0) : 0;
    ++collected.contents;
    RETURN_IF_ERROR(query.Run());
  }
  const size_t count = std::min(garbage.snapshots.size(), kSnapshotsAtOnce);
  for (size_t i = 0; i < count; ++i) {
    RETURN_IF_ERROR(snapshots.Remove(garbage.snapshots[i]));
    ++collected.snapshots;
  }
  RETURN_IF_ERROR(transaction.Commit());
  return count < garbage.snapshots.size();
}

/// Of blobs that have no row, also of a process that was killed between the two.
Status Store::RemoveFiles() {
  MutexLock lock(state_->mutex);
  Database& database = *state_->database;
  Transaction transaction(database, kSync);
  RETURN_IF_ERROR(transaction.Begin());
  std::error_code error;
  for (const fs::directory_entry& file :
       fs::directory_iterator(state_->directory / "blobs", error)) {
    Query query = database.Prepare("SELECT 1 FROM content WHERE digest = ?");
    ASSIGN_OR_RETURN(const bool known,
                     query.Bind("sha256:" + file.path().filename().native()).Step());
    if (!known && ::unlink(file.path().c_str()) != 0 && errno != ENOENT) {
      return ErrnoError(errno, file.path().native());
    }
  }
  if (error) {
    return ErrnoError(error.value(), (state_->directory / "blobs").native());
  }
  return transaction.Commit();
}

}  // namespace starling::standalone
