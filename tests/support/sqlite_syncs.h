/// Counts what SQLite forces to the disk.
#pragma once

#include <sqlite3.h>

#include <array>
#include <atomic>
#include <cstdint>
#include <utility>

namespace starling::testing_support {

/// While it lives, databases are opened so that their syncs are counted. One at a time; databases
/// that were opened meanwhile are closed before it goes.
class SqliteSyncs {
 public:
  SqliteSyncs() : real_(sqlite3_vfs_find(nullptr)), counting_(*real_) {
    current_ = this;
    counting_.zName = "counting";
    counting_.pNext = nullptr;
    counting_.xOpen = Open;
    sqlite3_vfs_register(&counting_, 1);
  }
  SqliteSyncs(const SqliteSyncs&) = delete;
  SqliteSyncs& operator=(const SqliteSyncs&) = delete;
  ~SqliteSyncs() {
    sqlite3_vfs_register(real_, 1);
    sqlite3_vfs_unregister(&counting_);
    current_ = nullptr;
  }

  uint64_t count() const { return count_; }

 private:
  static int Open(sqlite3_vfs*, const char* name, sqlite3_file* file, int flags, int* opened) {
    SqliteSyncs& self = *current_;
    const int result = self.real_->xOpen(self.real_, name, file, flags, opened);
    if (result == SQLITE_OK) {
      // Databases lock, their logs do not, so their methods differ; to sync is the same of both.
      sqlite3_io_methods& methods = self.methods_[(flags & SQLITE_OPEN_MAIN_DB) != 0 ? 0 : 1];
      methods = *file->pMethods;
      self.real_sync_ = std::exchange(methods.xSync, Sync);
      file->pMethods = &methods;
    }
    return result;
  }
  static int Sync(sqlite3_file* file, int flags) {
    ++current_->count_;
    return current_->real_sync_(file, flags);
  }

  static inline SqliteSyncs* current_ = nullptr;
  sqlite3_vfs* real_;
  sqlite3_vfs counting_;
  int (*real_sync_)(sqlite3_file*, int) = nullptr;
  std::array<sqlite3_io_methods, 2> methods_ = {};
  std::atomic<uint64_t> count_ = 0;
};

}  // namespace starling::testing_support
