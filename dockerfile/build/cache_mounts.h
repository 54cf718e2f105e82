#pragma once

#include <filesystem>
#include <functional>
#include <memory>
#include <string>

#include "base/status.h"
#include "base/unique_fd.h"
#include "dockerfile/syntax/run_options.h"

namespace starling::dockerfile::build {

/// Directories that outlive steps: RUN --mount=type=cache. Shared by all builds of the machine.
/// Threads: safe, and safe against other processes.
class CacheMounts {
 public:
  explicit CacheMounts(std::filesystem::path directory) : directory_(std::move(directory)) {}

  /// One directory in use by one step. Gives it back when it goes.
  class Lease {
   public:
    const std::filesystem::path& path() const { return path_; }

   private:
    friend class CacheMounts;
    Lease(std::filesystem::path path, UniqueFd lock)
        : path_(std::move(path)), lock_(std::move(lock)) {}
    std::filesystem::path path_;
    UniqueFd lock_;
  };
  /// Fills a new, empty directory.
  using Fill = std::function<Status(const std::filesystem::path&)>;

  /// The directory of `id`, made with `fill` when there is none. kLocked waits until nobody else
  /// uses it, kPrivate takes one that nobody uses, or a new one.
  StatusOr<Lease> Take(const std::string& id, syntax::CacheSharing sharing, const Fill& fill);

  /// Calls `read` with the directory of `id` while no step has it for itself; it waits for those
  /// that have. False when there is no such directory. Blocks.
  using Read = std::function<Status(const std::filesystem::path&)>;
  StatusOr<bool> Look(const std::string& id, const Read& read) const;

  /// Bytes and directories that nobody uses.
  struct Removed {
    size_t directories = 0;
    uint64_t bytes = 0;
  };
  /// Removes all that nobody uses.
  StatusOr<Removed> Prune();

 private:
  const std::filesystem::path directory_;
};

}  // namespace starling::dockerfile::build
