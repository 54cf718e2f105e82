#include "snapshotter/metadata_store.h"

#include <algorithm>

#include "api/snapshot_labels.h"
#include "base/mutex.h"
#include "snapshotter/sqlite.h"

namespace starling::snapshotter {
namespace {

constexpr uint64_t kSchemaVersion = 1;

// AUTOINCREMENT: the number of a deleted row is never given again.
constexpr const char* kSchema = R"(
CREATE TABLE layer (
  number INTEGER PRIMARY KEY AUTOINCREMENT,
  image_reference TEXT NOT NULL,
  layer TEXT NOT NULL,
  toc TEXT NOT NULL,
  image_layers TEXT NOT NULL
);
CREATE TABLE snapshot (
  id INTEGER PRIMARY KEY AUTOINCREMENT,
  name TEXT NOT NULL UNIQUE,
  parent INTEGER REFERENCES snapshot(id),
  kind INTEGER NOT NULL,
  created_ns INTEGER NOT NULL,
  updated_ns INTEGER NOT NULL,
  size_bytes INTEGER,
  inodes INTEGER,
  layer INTEGER REFERENCES layer(number)
);
CREATE INDEX snapshot_parent ON snapshot(parent);
CREATE INDEX snapshot_layer ON snapshot(layer);
CREATE TABLE label (
  snapshot INTEGER NOT NULL REFERENCES snapshot(id) ON DELETE CASCADE,
  key TEXT NOT NULL,
  value TEXT NOT NULL,
  PRIMARY KEY (snapshot, key)
) WITHOUT ROWID;
CREATE TABLE removed (
  id INTEGER PRIMARY KEY,
  layer INTEGER REFERENCES layer(number)
);
PRAGMA user_version = 1;
)";

constexpr const char* kListAll =
    "SELECT s.id, s.name, coalesce(p.name, ''), s.kind, s.created_ns, s.updated_ns "
    "FROM snapshot AS s LEFT JOIN snapshot AS p ON p.id = s.parent ORDER BY s.id";
constexpr const char* kListByRef =
    "SELECT s.id, s.name, coalesce(p.name, ''), s.kind, s.created_ns, s.updated_ns "
    "FROM snapshot AS s JOIN label AS l ON l.snapshot = s.id AND l.key = ? "
    "LEFT JOIN snapshot AS p ON p.id = s.parent WHERE l.value = ? ORDER BY s.id";

Timestamp TimestampOf(int64_t nanoseconds) {
  return Timestamp(std::chrono::nanoseconds(nanoseconds));
}

int64_t Nanoseconds(const Clock& clock) {
  return std::chrono::time_point_cast<std::chrono::nanoseconds>(clock.WallTime())
      .time_since_epoch()
      .count();
}

std::string Quoted(std::string_view name) { return fmt::format("\"{}\"", name); }

Status NoSnapshot(std::string_view key) {
  return MakeError(StatusCode::kNotFound, fmt::format("snapshot {} does not exist", Quoted(key)));
}

Status Exists(std::string_view name) {
  return MakeError(StatusCode::kAlreadyExists,
                   fmt::format("snapshot {} already exists", Quoted(name)));
}

// What every operation on one snapshot looks at first.
struct Row {
  uint64_t id = 0;
  Kind kind = Kind::kActive;
  std::optional<uint64_t> parent;
  std::optional<uint64_t> layer;
};

StatusOr<Row> FindRow(Database& database, std::string_view name) {
  if (name.empty()) {
    return MakeError(StatusCode::kInvalidArgument, "the snapshot's key is empty");
  }
  Query query = database.Prepare("SELECT id, kind, parent, layer FROM snapshot WHERE name = ?");
  ASSIGN_OR_RETURN(const bool found, query.Bind(name).Step());
  if (!found) {
    return NoSnapshot(name);
  }
  return Row{.id = query.Number(0),
             .kind = static_cast<Kind>(query.Signed(1)),
             .parent = query.OptionalNumber(2),
             .layer = query.OptionalNumber(3)};
}

// OK when nothing has `name` yet.
Status CheckFree(Database& database, std::string_view name) {
  const StatusOr<Row> taken = FindRow(database, name);
  if (taken.ok()) {
    return Exists(name);
  }
  return taken.status().code() == StatusCode::kNotFound ? OkStatus() : taken.status();
}

// The row of the committed snapshot `parent`; none when `parent` is empty.
StatusOr<std::optional<uint64_t>> FindParent(Database& database, std::string_view parent) {
  if (parent.empty()) {
    return std::optional<uint64_t>();
  }
  StatusOr<Row> row = FindRow(database, parent);
  if (!row.ok()) {
    return Annotate(row.status(), "parent");
  }
  if (row->kind != Kind::kCommitted) {
    return MakeError(StatusCode::kInvalidArgument,
                     fmt::format("parent {} is not committed", Quoted(parent)));
  }
  return std::optional<uint64_t>(row->id);
}

Status WriteLabels(Database& database, uint64_t id, const Labels& labels) {
  RETURN_IF_ERROR(database.Prepare("DELETE FROM label WHERE snapshot = ?").Bind(id).Run());
  for (const auto& [key, value] : labels) {
    if (value.empty()) {
      continue;
    }
    RETURN_IF_ERROR(database.Prepare("INSERT INTO label (snapshot, key, value) VALUES (?, ?, ?)")
                        .Bind(id)
                        .Bind(key)
                        .Bind(value)
                        .Run());
  }
  return OkStatus();
}

StatusOr<Chain> ReadChain(Database& database, const Row& row) {
  Chain chain{.kind = row.kind, .self = {.id = row.id, .layer = row.layer}, .parents = {}};
  Query query = database.Prepare(R"(
    WITH RECURSIVE chain (id, parent, layer, depth) AS (
      SELECT id, parent, layer, 0 FROM snapshot WHERE id = ?
      UNION ALL
      SELECT s.id, s.parent, s.layer, depth + 1 FROM snapshot AS s JOIN chain ON s.id = chain.parent)
    SELECT id, layer FROM chain ORDER BY depth)");
  if (!row.parent.has_value()) {
    return chain;
  }
  query.Bind(*row.parent);
  while (true) {
    ASSIGN_OR_RETURN(const bool found, query.Step());
    if (!found) {
      return chain;
    }
    chain.parents.push_back({.id = query.Number(0), .layer = query.OptionalNumber(1)});
  }
}

Status ReadLabels(Database& database, uint64_t id, Labels& labels) {
  Query query = database.Prepare("SELECT key, value FROM label WHERE snapshot = ?");
  query.Bind(id);
  while (true) {
    ASSIGN_OR_RETURN(const bool found, query.Step());
    if (!found) {
      return OkStatus();
    }
    labels.emplace(query.Text(0), query.Text(1));
  }
}

StatusOr<Info> ReadInfo(Database& database, uint64_t id) {
  Query query = database.Prepare(
      "SELECT s.name, coalesce(p.name, ''), s.kind, s.created_ns, s.updated_ns "
      "FROM snapshot AS s LEFT JOIN snapshot AS p ON p.id = s.parent WHERE s.id = ?");
  ASSIGN_OR_RETURN(const bool found, query.Bind(id).Step());
  if (!found) {
    return MakeError(StatusCode::kInternal, fmt::format("row {} has gone", id));
  }
  Info info{.name = query.Text(0),
            .parent = query.Text(1),
            .kind = static_cast<Kind>(query.Signed(2)),
            .created = TimestampOf(query.Signed(3)),
            .updated = TimestampOf(query.Signed(4)),
            .labels = {}};
  RETURN_IF_ERROR(ReadLabels(database, id, info.labels));
  return info;
}

// `labels` as they are after an update of what `mask` names.
StatusOr<Labels> ApplyMask(const Labels& labels, const Labels& wanted,
                           std::span<const std::string> mask) {
  constexpr std::string_view kAll = "labels";
  constexpr std::string_view kOne = "labels.";
  Labels result = mask.empty() ? wanted : labels;
  for (const std::string& path : mask) {
    if (path == kAll) {
      result = wanted;
    } else if (path.starts_with(kOne) && path.size() > kOne.size()) {
      const std::string key = path.substr(kOne.size());
      const auto value = wanted.find(key);
      result[key] = value == wanted.end() ? std::string() : value->second;
    } else {
      return MakeError(StatusCode::kInvalidArgument,
                       fmt::format("cannot update field {}: only labels can change", Quoted(path)));
    }
  }
  return result;
}

Status CheckVersion(Database& database, const std::filesystem::path& file) {
  Query query = database.Prepare("PRAGMA user_version");
  ASSIGN_OR_RETURN(const bool found, query.Step());
  if (!found || query.Number(0) <= kSchemaVersion) {
    return OkStatus();
  }
  return MakeError(StatusCode::kFailedPrecondition,
                   fmt::format("{} has format {}, written by a newer starlingd; this one knows {} "
                               "at most: run that version, or another root",
                               file.string(), query.Number(0), kSchemaVersion));
}

Status CheckPages(Database& database) {
  Query query = database.Prepare("PRAGMA quick_check(1)");
  ASSIGN_OR_RETURN(const bool found, query.Step());
  return found && query.Text(0) == "ok"
             ? OkStatus()
             : MakeError(StatusCode::kDataLoss, found ? query.Text(0) : "no answer");
}

/// Says what to do: containerd remembers the snapshots, so none may be forgotten silently.
Status ExplainDamage(const Status& status, const std::filesystem::path& file) {
  if (status.code() != StatusCode::kDataLoss) {
    return status;
  }
  return MakeError(StatusCode::kDataLoss,
                   fmt::format("{0} is damaged ({1}): put a copy of it back, or remove the "
                               "containers and images of this snapshotter, move {0}* away, and "
                               "pull the images again",
                               file.string(), MessageOf(status)));
}

Status MakeSchema(Database& database) {
  {
    Query query = database.Prepare("PRAGMA user_version");
    ASSIGN_OR_RETURN(const bool found, query.Step());
    if (found && query.Number(0) == kSchemaVersion) {
      return OkStatus();
    }
  }
  Transaction transaction(database);
  RETURN_IF_ERROR(transaction.Begin());
  RETURN_IF_ERROR(database.Execute(kSchema));
  return transaction.Commit();
}

std::string JoinDigests(const std::vector<oci::Digest>& digests) {
  std::string text;
  for (const oci::Digest& digest : digests) {
    text += (text.empty() ? "" : ",") + digest.ToString();
  }
  return text;
}

StatusOr<uint64_t> InsertLayer(Database& database, const LayerRequest& request) {
  Query query = database.Prepare(
      "INSERT INTO layer (image_reference, layer, toc, image_layers) VALUES (?, ?, ?, ?) "
      "RETURNING number");
  query.Bind(request.image_reference)
      .Bind(request.layer.ToString())
      .Bind(request.toc.ToString())
      .Bind(JoinDigests(request.image_layers));
  ASSIGN_OR_RETURN(const bool found, query.Step());
  if (!found) {
    return MakeError(StatusCode::kInternal, "the layer got no number");
  }
  const uint64_t number = query.Number(0);
  // The row is written when the statement ends.
  RETURN_IF_ERROR(query.Run());
  return number;
}

StatusOr<std::vector<oci::Digest>> SplitDigests(std::string_view text) {
  std::vector<oci::Digest> digests;
  while (!text.empty()) {
    const size_t comma = std::min(text.find(','), text.size());
    ASSIGN_OR_RETURN(const oci::Digest digest, oci::Digest::Parse(text.substr(0, comma)));
    digests.push_back(digest);
    text.remove_prefix(std::min(comma + 1, text.size()));
  }
  return digests;
}

}  // namespace

struct MetadataStore::State {
  explicit State(Clock& wall_clock) : clock(wall_clock) {}

  Clock& clock;
  Mutex mutex;  // leaf
  std::unique_ptr<Database> database GUARDED_BY(mutex);
  uint64_t next_id GUARDED_BY(mutex) = 1;
};

MetadataStore::MetadataStore(std::unique_ptr<State> state) : state_(std::move(state)) {}
MetadataStore::~MetadataStore() = default;

StatusOr<std::unique_ptr<MetadataStore>> MetadataStore::Open(const std::filesystem::path& file,
                                                             Clock& clock) {
  StatusOr<std::unique_ptr<Database>> opened = Database::Open(file);
  RETURN_IF_ERROR(ExplainDamage(opened.status(), file));
  std::unique_ptr<Database> database = *std::move(opened);
  RETURN_IF_ERROR(ExplainDamage(CheckVersion(*database, file), file));
  RETURN_IF_ERROR(ExplainDamage(CheckPages(*database), file));
  RETURN_IF_ERROR(MakeSchema(*database));
  uint64_t last_id = 0;
  {
    Query query = database->Prepare("SELECT seq FROM sqlite_sequence WHERE name = 'snapshot'");
    ASSIGN_OR_RETURN(const bool found, query.Step());
    last_id = found ? query.Number(0) : 0;
  }
  auto state = std::make_unique<State>(clock);
  {
    MutexLock lock(state->mutex);
    state->next_id = last_id + 1;
    state->database = std::move(database);
  }
  return std::unique_ptr<MetadataStore>(new MetadataStore(std::move(state)));
}

uint64_t MetadataStore::ReserveId() {
  MutexLock lock(state_->mutex);
  return state_->next_id++;
}

Status MetadataStore::CheckInsert(const std::string& key, const std::string& parent) {
  MutexLock lock(state_->mutex);
  RETURN_IF_ERROR(CheckFree(*state_->database, key));
  return FindParent(*state_->database, parent).status();
}

Status MetadataStore::Insert(const NewSnapshot& snapshot) {
  MutexLock lock(state_->mutex);
  Database& database = *state_->database;
  Transaction transaction(database);
  RETURN_IF_ERROR(transaction.Begin());
  RETURN_IF_ERROR(CheckFree(database, snapshot.key));
  ASSIGN_OR_RETURN(const std::optional<uint64_t> parent, FindParent(database, snapshot.parent));
  const int64_t now = Nanoseconds(state_->clock);
  std::optional<uint64_t> size_bytes;
  std::optional<uint64_t> inodes;
  if (snapshot.usage.has_value()) {
    size_bytes = snapshot.usage->size_bytes;
    inodes = snapshot.usage->inodes;
  }
  RETURN_IF_ERROR(database
                      .Prepare("INSERT INTO snapshot (id, name, parent, kind, created_ns, "
                               "updated_ns, size_bytes, inodes, layer) "
                               "VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?)")
                      .Bind(snapshot.id)
                      .Bind(snapshot.key)
                      .Bind(parent)
                      .Bind(static_cast<int64_t>(snapshot.kind))
                      .Bind(now)
                      .Bind(now)
                      .Bind(size_bytes)
                      .Bind(inodes)
                      .Bind(snapshot.layer)
                      .Run());
  RETURN_IF_ERROR(WriteLabels(database, snapshot.id, snapshot.labels));
  return transaction.Commit();
}

Status MetadataStore::Commit(const std::string& key, const std::string& name,
                             const std::string& parent, const Labels& labels) {
  MutexLock lock(state_->mutex);
  Database& database = *state_->database;
  Transaction transaction(database);
  RETURN_IF_ERROR(transaction.Begin());
  ASSIGN_OR_RETURN(const Row row, FindRow(database, key));
  if (row.kind != Kind::kActive) {
    return MakeError(StatusCode::kFailedPrecondition,
                     fmt::format("snapshot {} is not active", Quoted(key)));
  }
  RETURN_IF_ERROR(CheckFree(database, name));
  ASSIGN_OR_RETURN(const std::optional<uint64_t> new_parent, FindParent(database, parent));
  if (new_parent.has_value() && row.parent.has_value() && new_parent != row.parent) {
    return MakeError(
        StatusCode::kInvalidArgument,
        fmt::format("snapshot {} has another parent than {}", Quoted(key), Quoted(parent)));
  }
  const int64_t now = Nanoseconds(state_->clock);
  RETURN_IF_ERROR(database
                      .Prepare("UPDATE snapshot SET name = ?, parent = ?, kind = ?, "
                               "created_ns = ?, updated_ns = ? WHERE id = ?")
                      .Bind(name)
                      .Bind(row.parent.has_value() ? row.parent : new_parent)
                      .Bind(static_cast<int64_t>(Kind::kCommitted))
                      .Bind(now)
                      .Bind(now)
                      .Bind(row.id)
                      .Run());
  RETURN_IF_ERROR(WriteLabels(database, row.id, labels));
  return transaction.Commit();
}

Status MetadataStore::Remove(const std::string& key) {
  MutexLock lock(state_->mutex);
  Database& database = *state_->database;
  Transaction transaction(database);
  RETURN_IF_ERROR(transaction.Begin());
  ASSIGN_OR_RETURN(const Row row, FindRow(database, key));
  {
    Query child = database.Prepare("SELECT name FROM snapshot WHERE parent = ? LIMIT 1");
    ASSIGN_OR_RETURN(const bool found, child.Bind(row.id).Step());
    if (found) {
      // Clients look for the word "remove".
      return MakeError(StatusCode::kFailedPrecondition,
                       fmt::format("cannot remove snapshot {}: {} is built on it", Quoted(key),
                                   Quoted(child.Text(0))));
    }
  }
  RETURN_IF_ERROR(database.Prepare("INSERT INTO removed (id, layer) VALUES (?, ?)")
                      .Bind(row.id)
                      .Bind(row.layer)
                      .Run());
  RETURN_IF_ERROR(database.Prepare("DELETE FROM snapshot WHERE id = ?").Bind(row.id).Run());
  return transaction.Commit();
}

StatusOr<Chain> MetadataStore::Resolve(const std::string& key) {
  MutexLock lock(state_->mutex);
  ASSIGN_OR_RETURN(const Row row, FindRow(*state_->database, key));
  return ReadChain(*state_->database, row);
}

StatusOr<Info> MetadataStore::Stat(const std::string& key) {
  MutexLock lock(state_->mutex);
  ASSIGN_OR_RETURN(const Row row, FindRow(*state_->database, key));
  return ReadInfo(*state_->database, row.id);
}

StatusOr<Info> MetadataStore::UpdateLabels(const std::string& key, const Labels& labels,
                                           std::span<const std::string> mask) {
  MutexLock lock(state_->mutex);
  Database& database = *state_->database;
  Transaction transaction(database);
  RETURN_IF_ERROR(transaction.Begin());
  ASSIGN_OR_RETURN(const Row row, FindRow(database, key));
  Labels current;
  RETURN_IF_ERROR(ReadLabels(database, row.id, current));
  ASSIGN_OR_RETURN(const Labels wanted, ApplyMask(current, labels, mask));
  RETURN_IF_ERROR(WriteLabels(database, row.id, wanted));
  RETURN_IF_ERROR(database.Prepare("UPDATE snapshot SET updated_ns = ? WHERE id = ?")
                      .Bind(Nanoseconds(state_->clock))
                      .Bind(row.id)
                      .Run());
  StatusOr<Info> info = ReadInfo(database, row.id);
  RETURN_IF_ERROR(info.status());
  RETURN_IF_ERROR(transaction.Commit());
  return info;
}

StatusOr<std::vector<Info>> MetadataStore::List(const Filter& filter) {
  MutexLock lock(state_->mutex);
  Database& database = *state_->database;
  std::vector<Info> infos;
  // containerd lists by it after every Prepare that shows a layer.
  const std::optional<std::string> ref = filter.LabelOfAll(api::snapshot_label::kRef);
  Query query = database.Prepare(ref ? kListByRef : kListAll);
  if (ref) {
    query.Bind(api::snapshot_label::kRef).Bind(*ref);
  }
  while (true) {
    ASSIGN_OR_RETURN(const bool found, query.Step());
    if (!found) {
      return infos;
    }
    Info info{.name = query.Text(1),
              .parent = query.Text(2),
              .kind = static_cast<Kind>(query.Signed(3)),
              .created = TimestampOf(query.Signed(4)),
              .updated = TimestampOf(query.Signed(5)),
              .labels = {}};
    RETURN_IF_ERROR(ReadLabels(database, query.Number(0), info.labels));
    if (filter.Matches(info)) {
      infos.push_back(std::move(info));
    }
  }
}

StatusOr<StoredUsage> MetadataStore::FindUsage(const std::string& key) {
  MutexLock lock(state_->mutex);
  ASSIGN_OR_RETURN(const Row row, FindRow(*state_->database, key));
  Query query = state_->database->Prepare("SELECT size_bytes, inodes FROM snapshot WHERE id = ?");
  ASSIGN_OR_RETURN(const bool found, query.Bind(row.id).Step());
  StoredUsage stored{.link = {.id = row.id, .layer = row.layer}, .kind = row.kind, .usage = {}};
  if (found && query.OptionalNumber(0).has_value()) {
    stored.usage = Usage{.size_bytes = query.Number(0), .inodes = query.Number(1)};
  }
  return stored;
}

Status MetadataStore::SetUsage(uint64_t id, const Usage& usage) {
  MutexLock lock(state_->mutex);
  return state_->database->Prepare("UPDATE snapshot SET size_bytes = ?, inodes = ? WHERE id = ?")
      .Bind(usage.size_bytes)
      .Bind(usage.inodes)
      .Bind(id)
      .Run();
}

StatusOr<uint64_t> MetadataStore::AddLayer(const LayerRequest& request) {
  MutexLock lock(state_->mutex);
  // The snapshot that shows the layer is forced to the disk, and this with it.
  RETURN_IF_ERROR(state_->database->SetSync(Database::Sync::kWithTheNext));
  StatusOr<uint64_t> number = InsertLayer(*state_->database, request);
  RETURN_IF_ERROR(state_->database->SetSync(Database::Sync::kAtOnce));
  return number;
}

Status MetadataStore::ForgetLayer(uint64_t number) {
  MutexLock lock(state_->mutex);
  return state_->database->Prepare("DELETE FROM layer WHERE number = ?").Bind(number).Run();
}

StatusOr<std::vector<StoredLayer>> MetadataStore::Layers() {
  MutexLock lock(state_->mutex);
  Query query = state_->database->Prepare(
      "SELECT number, image_reference, layer, toc, image_layers, "
      "EXISTS (SELECT 1 FROM snapshot WHERE layer = number) OR "
      "EXISTS (SELECT 1 FROM removed WHERE layer = number), "
      "(SELECT name FROM snapshot WHERE layer = number) FROM layer ORDER BY number");
  std::vector<StoredLayer> layers;
  while (true) {
    ASSIGN_OR_RETURN(const bool found, query.Step());
    if (!found) {
      return layers;
    }
    StoredLayer layer{.number = query.Number(0), .request = {}, .in_use = query.Number(5) != 0};
    layer.request.image_reference = query.Text(1);
    ASSIGN_OR_RETURN(layer.request.layer, oci::Digest::Parse(query.Text(2)));
    ASSIGN_OR_RETURN(layer.request.toc, oci::Digest::Parse(query.Text(3)));
    ASSIGN_OR_RETURN(layer.request.image_layers, SplitDigests(query.Text(4)));
    layer.snapshot = query.Text(6);
    layers.push_back(std::move(layer));
  }
}

StatusOr<std::vector<ChainLink>> MetadataStore::Removed() {
  MutexLock lock(state_->mutex);
  Query query = state_->database->Prepare("SELECT id, layer FROM removed ORDER BY id");
  std::vector<ChainLink> links;
  while (true) {
    ASSIGN_OR_RETURN(const bool found, query.Step());
    if (!found) {
      return links;
    }
    links.push_back({.id = query.Number(0), .layer = query.OptionalNumber(1)});
  }
}

Status MetadataStore::ForgetRemoved(uint64_t id) {
  MutexLock lock(state_->mutex);
  return state_->database->Prepare("DELETE FROM removed WHERE id = ?").Bind(id).Run();
}

StatusOr<std::vector<uint64_t>> MetadataStore::Ids() {
  MutexLock lock(state_->mutex);
  Query query =
      state_->database->Prepare("SELECT id FROM snapshot UNION SELECT id FROM removed ORDER BY 1");
  std::vector<uint64_t> ids;
  while (true) {
    ASSIGN_OR_RETURN(const bool found, query.Step());
    if (!found) {
      return ids;
    }
    ids.push_back(query.Number(0));
  }
}

}  // namespace starling::snapshotter
