#include "snapshotter/sqlite.h"

namespace starling::snapshotter {
namespace {

StatusCode CodeOf(int sqlite_code) {
  switch (sqlite_code & 0xff) {
    case SQLITE_FULL:
      return StatusCode::kResourceExhausted;
    case SQLITE_BUSY:
    case SQLITE_LOCKED:
      return StatusCode::kUnavailable;
    case SQLITE_CORRUPT:
    case SQLITE_NOTADB:
      return StatusCode::kDataLoss;
    case SQLITE_READONLY:
    case SQLITE_PERM:
    case SQLITE_AUTH:
      return StatusCode::kPermissionDenied;
    default:
      return StatusCode::kInternal;
  }
}

}  // namespace

Query::~Query() {
  if (statement_ == nullptr) {
    return;  // it could not be prepared
  }
  sqlite3_reset(statement_);
  sqlite3_clear_bindings(statement_);
}

Query& Query::Bind(int64_t value) {
  if (error_ == SQLITE_OK) {
    error_ = sqlite3_bind_int64(statement_, ++bound_, value);
  }
  return *this;
}

Query& Query::Bind(std::string_view text) {
  if (error_ == SQLITE_OK) {
    error_ = sqlite3_bind_text64(statement_, ++bound_, text.empty() ? "" : text.data(), text.size(),
                                 SQLITE_TRANSIENT, SQLITE_UTF8);
  }
  return *this;
}

Query& Query::Bind(std::optional<uint64_t> value) {
  if (value.has_value()) {
    return Bind(*value);
  }
  if (error_ == SQLITE_OK) {
    error_ = sqlite3_bind_null(statement_, ++bound_);
  }
  return *this;
}

StatusOr<bool> Query::Step() {
  if (error_ != SQLITE_OK) {
    return database_.Error(error_);
  }
  const int result = sqlite3_step(statement_);
  if (result == SQLITE_ROW || result == SQLITE_DONE) {
    return result == SQLITE_ROW;
  }
  return database_.Error(result);
}

Status Query::Run() {
  while (true) {
    ASSIGN_OR_RETURN(const bool row, Step());
    if (!row) {
      return OkStatus();
    }
  }
}

uint64_t Query::Number(int column) const { return static_cast<uint64_t>(Signed(column)); }
int64_t Query::Signed(int column) const { return sqlite3_column_int64(statement_, column); }

std::optional<uint64_t> Query::OptionalNumber(int column) const {
  if (sqlite3_column_type(statement_, column) == SQLITE_NULL) {
    return std::nullopt;
  }
  return Number(column);
}

std::string Query::Text(int column) const {
  const unsigned char* text = sqlite3_column_text(statement_, column);
  if (text == nullptr) {
    return {};
  }
  return {reinterpret_cast<const char*>(text),
          static_cast<size_t>(sqlite3_column_bytes(statement_, column))};
}

StatusOr<std::unique_ptr<Database>> Database::Open(const std::filesystem::path& file,
                                                   std::chrono::milliseconds busy_timeout) {
  sqlite3* connection = nullptr;
  const int result = sqlite3_open_v2(
      file.c_str(), &connection,
      SQLITE_OPEN_READWRITE | SQLITE_OPEN_CREATE | SQLITE_OPEN_NOMUTEX | SQLITE_OPEN_EXRESCODE,
      nullptr);
  // SQLite makes the connection even when opening fails.
  auto database = std::unique_ptr<Database>(new Database(connection, file.string()));
  if (result != SQLITE_OK) {
    return database->Error(result);
  }
  sqlite3_busy_timeout(connection, static_cast<int>(busy_timeout.count()));
  RETURN_IF_ERROR(database->Execute(
      "PRAGMA journal_mode = WAL; PRAGMA synchronous = FULL; PRAGMA foreign_keys = ON;"));
  return database;
}

Database::~Database() {
  for (const auto& [sql, statement] : statements_) {
    sqlite3_finalize(statement);
  }
  sqlite3_close(connection_);
}

Query Database::Prepare(const char* sql) {
  sqlite3_stmt*& statement = statements_[sql];
  int error = SQLITE_OK;
  if (statement == nullptr) {
    error =
        sqlite3_prepare_v3(connection_, sql, -1, SQLITE_PREPARE_PERSISTENT, &statement, nullptr);
  }
  return Query(*this, statement, error);
}

Status Database::Execute(const char* sql) {
  const int result = sqlite3_exec(connection_, sql, nullptr, nullptr, nullptr);
  return result == SQLITE_OK ? OkStatus() : Error(result);
}

Status Database::SetSync(Sync sync) {
  if (sync == sync_) {
    return OkStatus();
  }
  // NORMAL forces the log to the disk before a checkpoint only. The log is one file, so a commit
  // with FULL takes along what came before it.
  RETURN_IF_ERROR(
      Execute(sync == Sync::kAtOnce ? "PRAGMA synchronous = FULL" : "PRAGMA synchronous = NORMAL"));
  sync_ = sync;
  return OkStatus();
}

Status Database::Error(int code) const {
  const char* words = connection_ == nullptr ? sqlite3_errstr(code) : sqlite3_errmsg(connection_);
  return MakeError(CodeOf(code), fmt::format("{}: {}", name_, words));
}

Transaction::~Transaction() {
  if (open_) {
    // Fails only when SQLite has rolled back by itself.
    (void)database_.Execute("ROLLBACK");
  }
}

Status Transaction::Begin() {
  RETURN_IF_ERROR(database_.SetSync(sync_));
  RETURN_IF_ERROR(database_.Execute("BEGIN IMMEDIATE"));
  open_ = true;
  return OkStatus();
}

Status Transaction::Commit() {
  RETURN_IF_ERROR(database_.Execute("COMMIT"));
  open_ = false;
  return OkStatus();
}

}  // namespace starling::snapshotter
