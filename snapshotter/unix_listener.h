#pragma once

#include <filesystem>
#include <optional>

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
  /// The listening socket that a service manager passed (LISTEN_PID, LISTEN_FDS), so that no client
  /// is refused while the daemon restarts; none without one. Takes it from the environment. Call
  /// before threads start.
  static StatusOr<std::optional<UnixListener>> Inherit();

  UnixListener(UnixListener&& other) noexcept
      : fd_(std::move(other.fd_)), path_(std::exchange(other.path_, {})) {}
  UnixListener& operator=(UnixListener&&) = delete;
  ~UnixListener();

  int fd() const { return fd_.get(); }

 private:
  UnixListener(UniqueFd fd, std::filesystem::path path)
      : fd_(std::move(fd)), path_(std::move(path)) {}

  UniqueFd fd_;
  std::filesystem::path path_;  // empty: not ours to delete
};

}  // namespace starling::snapshotter
