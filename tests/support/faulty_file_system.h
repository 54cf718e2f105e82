/// The machine's file system with faults on demand.
#pragma once

#include <fcntl.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <functional>
#include <limits>
#include <map>
#include <optional>
#include <string>
#include <vector>

#include "base/file_system.h"
#include "base/mutex.h"

namespace starling::testing_support {

/// Threads: safe, once it is set up.
class FaultyFileSystem : public FileSystem {
 public:
  enum class Operation {
    kOpen,
    kWrite,
    kRead,
    kResize,
    kSync,
    kRename,
    kClone,
    kPunch,
    kReadAhead
  };
  struct Call {
    Operation operation;
    std::filesystem::path path;  // a rename's target

    friend bool operator==(const Call&, const Call&) = default;
  };
  /// Runs before each call; an error replaces it.
  using Hook = std::function<Status(const Call&)>;

  void set_hook(Hook hook) { hook_ = std::move(hook); }
  /// Opens `other` in place of `path`.
  void Redirect(const std::filesystem::path& path, const std::filesystem::path& other) {
    redirections_[path] = other;
  }
  /// Pretends that the machine started anew; keeps a file in `directory`.
  void SetBoot(const std::filesystem::path& directory, std::string name) {
    constexpr size_t kIdSize = 36;
    name.resize(kIdSize, '-');
    const auto path = directory / "boot_id";
    const Status written = WriteFileAtomically(real_, path, AsBytes(name), 0600);
    EXPECT_TRUE(written.ok()) << Describe(written);
    Redirect("/proc/sys/kernel/random/boot_id", path);
  }
  /// Lets this many more bytes be written; the write that exceeds them is cut short.
  void set_free_bytes(uint64_t free_bytes) {
    const MutexLock lock(mutex_);
    free_bytes_ = free_bytes;
  }
  /// All calls so far.
  std::vector<Call> calls() const {
    const MutexLock lock(mutex_);
    return calls_;
  }

  StatusOr<UniqueFd> Open(const std::filesystem::path& path, int flags, mode_t mode) override {
    RETURN_IF_ERROR(Before({Operation::kOpen, path}));
    const auto other = redirections_.find(path);
    return real_.Open(other == redirections_.end() ? path : other->second, flags, mode);
  }
  Status WriteAt(int fd, uint64_t file_offset, ByteSpan bytes) override {
    RETURN_IF_ERROR(Before({Operation::kWrite, PathOf(fd)}));
    uint64_t allowed = 0;
    {
      const MutexLock lock(mutex_);
      allowed = std::min<uint64_t>(free_bytes_, bytes.size());
      free_bytes_ -= allowed;
    }
    RETURN_IF_ERROR(real_.WriteAt(fd, file_offset, bytes.first(allowed)));
    return allowed == bytes.size() ? OkStatus() : ErrnoError(ENOSPC, "write");
  }
  Status ReadAt(int fd, uint64_t file_offset, std::span<std::byte> out) override {
    RETURN_IF_ERROR(Before({Operation::kRead, PathOf(fd)}));
    return real_.ReadAt(fd, file_offset, out);
  }
  StatusOr<size_t> ReadCached(int fd, uint64_t file_offset, std::span<std::byte> out) override {
    RETURN_IF_ERROR(Before({Operation::kRead, PathOf(fd)}));
    return real_.ReadCached(fd, file_offset, out);
  }
  void ReadAhead(int fd, uint64_t file_offset, uint64_t size_bytes) override {
    if (Before({Operation::kReadAhead, PathOf(fd)}).ok()) {
      real_.ReadAhead(fd, file_offset, size_bytes);
    }
  }
  Status Resize(int fd, uint64_t size_bytes) override {
    RETURN_IF_ERROR(Before({Operation::kResize, PathOf(fd)}));
    return real_.Resize(fd, size_bytes);
  }
  Status SyncData(int fd) override {
    RETURN_IF_ERROR(Before({Operation::kSync, PathOf(fd)}));
    return real_.SyncData(fd);
  }
  Status Rename(const std::filesystem::path& from, const std::filesystem::path& to) override {
    RETURN_IF_ERROR(Before({Operation::kRename, to}));
    return real_.Rename(from, to);
  }
  Status CloneRange(int from, uint64_t from_offset, int to, uint64_t to_offset,
                    uint64_t size_bytes) override {
    RETURN_IF_ERROR(Before({Operation::kClone, PathOf(to)}));
    return real_.CloneRange(from, from_offset, to, to_offset, size_bytes);
  }
  Status PunchHole(int fd, uint64_t file_offset, uint64_t size_bytes) override {
    RETURN_IF_ERROR(Before({Operation::kPunch, PathOf(fd)}));
    return real_.PunchHole(fd, file_offset, size_bytes);
  }

 private:
  static std::filesystem::path PathOf(int fd) {
    std::error_code ignored;
    return std::filesystem::read_symlink(fmt::format("/proc/self/fd/{}", fd), ignored);
  }
  Status Before(const Call& call) {
    {
      const MutexLock lock(mutex_);
      calls_.push_back(call);
    }
    return hook_ ? hook_(call) : OkStatus();
  }

  FileSystem& real_ = RealFileSystem();
  Hook hook_;
  std::map<std::filesystem::path, std::filesystem::path> redirections_;
  mutable Mutex mutex_;  // leaf
  uint64_t free_bytes_ GUARDED_BY(mutex_) = std::numeric_limits<uint64_t>::max();
  std::vector<Call> calls_ GUARDED_BY(mutex_);
};

}  // namespace starling::testing_support
