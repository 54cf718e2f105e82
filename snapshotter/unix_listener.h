#pragma once

#include <filesystem>
#include <utility>

#include "base/status.h"
#include "base/unique_fd.h"

namespace starling::snapshotter {

/// A unix socket that clients connect to. The file it made goes with it.
class UnixListener {
 public:
  /// Binds and listens at `path`, for root and its own user alone (0600). Makes the parent
  /// directory (0711) when it is missing. A socket that nobody answers on is replaced;
  /// kFailedPrecondition when somebody does, or when `path` is no socket.
  static StatusOr<UnixListener> Bind(const std::filesystem::path& path);
  /// A listening socket of another process, so that no client is refused between the two. Its file
  /// stays. kFailedPrecondition for anything else.
  static StatusOr<UnixListener> Adopt(UniqueFd fd);

  UnixListener(UnixListener&& other) noexcept
      : fd_(std::move(other.fd_)), path_(std::exchange(other.path_, {})) {}
  UnixListener& operator=(UnixListener&&) = delete;
  ~UnixListener();

  int fd() const { return fd_.get(); }
  /// The file that it made, if it made one; from now on that stays.
  std::filesystem::path LeaveFile() { return std::exchange(path_, {}); }

 private:
  UnixListener(UniqueFd fd, std::filesystem::path path)
      : fd_(std::move(fd)), path_(std::move(path)) {}

  UniqueFd fd_;
  std::filesystem::path path_;  // empty: not ours to delete
};

}  // namespace starling::snapshotter
