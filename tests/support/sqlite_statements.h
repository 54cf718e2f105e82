/// Counts what SQLite is asked.
#pragma once

#include <sqlite3.h>

#include <atomic>
#include <cstdint>

namespace starling::testing_support {

/// While it lives, databases are opened so that the statements that they begin are counted. One at
/// a time; databases that were opened meanwhile are closed before it goes.
class SqliteStatements {
 public:
  SqliteStatements() {
    current_ = this;
    sqlite3_auto_extension(EntryPoint());
  }
  SqliteStatements(const SqliteStatements&) = delete;
  SqliteStatements& operator=(const SqliteStatements&) = delete;
  ~SqliteStatements() {
    sqlite3_cancel_auto_extension(EntryPoint());
    current_ = nullptr;
  }

  uint64_t count() const { return count_; }

 private:
  using Entry = void (*)();  // as SQLite declares it: it calls the real type
  static Entry EntryPoint() { return reinterpret_cast<Entry>(&Open); }
  static int Open(sqlite3* database, char**, const sqlite3_api_routines*) {
    return sqlite3_trace_v2(database, SQLITE_TRACE_STMT, Count, nullptr);
  }
  static int Count(unsigned, void*, void*, void*) {
    ++current_->count_;
    return 0;
  }

  static inline SqliteStatements* current_ = nullptr;
  std::atomic<uint64_t> count_ = 0;
};

}  // namespace starling::testing_support
