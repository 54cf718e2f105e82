/// The little of SQLite's C interface that the metadata store uses, with its results as Status.
#pragma once

#include <sqlite3.h>

#include <chrono>
#include <cstdint>
#include <filesystem>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <unordered_map>

#include "base/status.h"

namespace starling::snapshotter {

class Database;

/// A prepared statement with its values; reset when it goes. Threads: one at a time.
class Query {
 public:
  Query(Query&&) = delete;
  ~Query();

  Query& Bind(int64_t value);
  Query& Bind(uint64_t value) { return Bind(static_cast<int64_t>(value)); }
  Query& Bind(std::string_view text);
  Query& Bind(std::optional<uint64_t> value);
  /// True: a row is there. False: no more rows.
  StatusOr<bool> Step();
  /// Steps to the end of a statement without rows.
  Status Run();

  uint64_t Number(int column) const;
  int64_t Signed(int column) const;
  std::optional<uint64_t> OptionalNumber(int column) const;
  std::string Text(int column) const;

 private:
  friend class Database;
  Query(Database& database, sqlite3_stmt* statement, int error)
      : database_(database), statement_(statement), error_(error) {}

  Database& database_;
  sqlite3_stmt* statement_;
  int error_;
  int bound_ = 0;
};

/// One connection; its statements are prepared once each. Threads: one at a time.
class Database {
 public:
  /// Opens or makes `file` with write-ahead logging, Sync::kAtOnce and foreign keys. Waits for
  /// other writers for `busy_timeout`.
  static StatusOr<std::unique_ptr<Database>> Open(
      const std::filesystem::path& file,
      std::chrono::milliseconds busy_timeout = std::chrono::seconds(5));
  ~Database();

  /// `sql` is a literal: it is kept by address.
  Query Prepare(const char* sql);
  /// Runs any number of statements without values and rows.
  Status Execute(const char* sql);
  /// When commits are forced to the disk. With one that is, all before it are there, too; one that
  /// is not survives the process, but perhaps not a loss of power. Not within a transaction.
  enum class Sync { kAtOnce, kWithTheNext };
  Status SetSync(Sync sync);
  /// How many rows the last statement changed.
  int changes() const { return sqlite3_changes(connection_); }
  /// The error that `code` stands for, with SQLite's own words.
  Status Error(int code) const;

 private:
  Database(sqlite3* connection, std::string name)
      : connection_(connection), name_(std::move(name)) {}

  sqlite3* connection_;
  std::string name_;
  std::unordered_map<const char*, sqlite3_stmt*> statements_;
  Sync sync_ = Sync::kAtOnce;
};

/// Rolls back unless committed. Nobody else writes between Begin and Commit.
class Transaction {
 public:
  explicit Transaction(Database& database, Database::Sync sync = Database::Sync::kAtOnce)
      : database_(database), sync_(sync) {}
  Transaction(const Transaction&) = delete;
  Transaction& operator=(const Transaction&) = delete;
  ~Transaction();
  Status Begin();
  Status Commit();

 private:
  Database& database_;
  const Database::Sync sync_;
  bool open_ = false;
};

}  // namespace starling::snapshotter
