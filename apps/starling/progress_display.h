#pragma once

#include <chrono>
#include <cstdio>
#include <map>
#include <memory>
#include <string>
#include <vector>

#include "base/clock.h"
#include "base/mutex.h"
#include "base/progress.h"

namespace starling::cli {

/// A line for each part's end, for logs and pipes. Threads: safe.
class PlainProgress : public Progress {
 public:
  /// Borrows `out`.
  explicit PlainProgress(std::FILE* out) : out_(out) {}
  void Begin(const std::string& part, uint64_t total) override;
  void Advance(const std::string& part, uint64_t amount) override;
  void End(const std::string& part, const std::string& outcome) override;

 private:
  Mutex mutex_;  // leaf
  std::FILE* out_;
  std::map<std::string, uint64_t> done_bytes_ GUARDED_BY(mutex_);
};

/// A line a part, redrawn in place ten times a second at most. Threads: safe.
class TerminalProgress : public Progress {
 public:
  /// Borrows `out`, a terminal of `columns` columns, and `clock`.
  TerminalProgress(std::FILE* out, size_t columns, Clock& clock)
      : out_(out), columns_(columns), clock_(clock) {}
  ~TerminalProgress() override;
  void Begin(const std::string& part, uint64_t total) override;
  void Advance(const std::string& part, uint64_t amount) override;
  void End(const std::string& part, const std::string& outcome) override;

 private:
  struct Part {
    std::string name;
    uint64_t total_bytes = 0;
    uint64_t done_bytes = 0;
    std::string outcome;
  };
  Part& Find(const std::string& name) EXCLUSIVE_LOCKS_REQUIRED(mutex_);
  std::string LineOf(const Part& part) const EXCLUSIVE_LOCKS_REQUIRED(mutex_);
  void Draw() EXCLUSIVE_LOCKS_REQUIRED(mutex_);

  Mutex mutex_;  // leaf
  std::FILE* out_;
  const size_t columns_;
  Clock& clock_;
  std::vector<Part> parts_ GUARDED_BY(mutex_);
  size_t lines_drawn_ GUARDED_BY(mutex_) = 0;
  bool is_drawn_ GUARDED_BY(mutex_) = true;  // as it is
  std::chrono::steady_clock::time_point last_drawn_ GUARDED_BY(mutex_);
};

/// The display that suits `out`; nothing is shown when `quiet`.
enum class Quiet { kNo, kYes };
std::unique_ptr<Progress> MakeProgress(std::FILE* out, Quiet quiet);

}  // namespace starling::cli
