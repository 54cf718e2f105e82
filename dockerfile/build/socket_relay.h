#pragma once

#include <sys/types.h>

#include <filesystem>
#include <memory>
#include <thread>

#include "base/pipe.h"
#include "base/status.h"

namespace starling::dockerfile::build {

/// A UNIX socket in front of another: a step's way to an ssh agent, with an owner and a mode that
/// the step asks for and the agent's own socket need not have. Ends, with its connections, when it
/// goes. Threads: one of its own.
class SocketRelay {
 public:
  struct Access {
    uid_t uid = 0;
    gid_t gid = 0;
    mode_t mode = 0;
  };
  /// More connections at once wait until one ends.
  static constexpr size_t kMaxConnections = 64;

  /// Makes `path` and passes on to `target` whoever connects there. A target that takes no
  /// connection ends that one alone. Errors name `path`.
  static StatusOr<std::unique_ptr<SocketRelay>> Listen(const std::filesystem::path& path,
                                                       std::filesystem::path target, Access access);
  ~SocketRelay();
  SocketRelay(const SocketRelay&) = delete;
  SocketRelay& operator=(const SocketRelay&) = delete;

 private:
  SocketRelay(UniqueFd listening, std::filesystem::path target, Pipe stop);
  void Serve();

  const UniqueFd listening_;
  const std::filesystem::path target_;
  Pipe stop_;
  std::thread thread_;
};

}  // namespace starling::dockerfile::build
