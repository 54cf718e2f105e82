#pragma once

#include <filesystem>
#include <memory>

#include "base/bytes.h"
#include "base/status.h"
#include "base/unique_fd.h"
#include "fuse/connection.h"
#include "fuse/operations.h"

namespace starling::fuse {

/// One FUSE connection and the threads that serve it.
/// Threads: safe. What runs on its own threads never opens a path below the mount: it would wait
/// for itself.
class Session {
 public:
  struct Options {
    std::filesystem::path mount_point;  // an existing directory
    std::filesystem::path device = "/dev/fuse";
    size_t threads = 2;
    /// The kernel reads this far ahead in files. Small costs speed in large files, large fetches
    /// what nobody reads.
    uint32_t read_ahead_kib = 512;
  };

  /// What another process needs to go on serving a mount.
  struct Device {
    UniqueFd fd;         // of /dev/fuse; the mount lives while anyone holds it
    Bytes init_request;  // FUSE_INIT as the kernel sent it to the first server
  };

  /// Mounts and serves. A dead mount of ours in the way is removed. Borrows `operations`.
  /// Errors: kFailedPrecondition without the device or without the right to mount.
  static StatusOr<std::unique_ptr<Session>> Mount(const Options& options,
                                                  const Operations& operations);
  /// Serves a mount that an earlier server left, beginning with the requests that it took and never
  /// answered (kernels before 6.9 cannot send those again: their callers wait for ever).
  static StatusOr<std::unique_ptr<Session>> Adopt(const Options& options,
                                                  const Operations& operations, Device device);
  /// Whether the mount is still there; an administrator may have taken it away.
  static bool IsAlive(const Device& device);
  /// Unmounts, unless released, and joins the threads. Whoever still waits gets an error.
  ~Session();

  /// A copy of what a successor needs, for whoever keeps it while this process may die.
  StatusOr<Device> CopyDevice() const;
  /// From now on a request that fails is not answered, but left to whoever adopts the device. For
  /// what ends before Release.
  void LeaveFailures();
  /// Stops serving and leaves the mount to whoever adopts the device. Answers that come later are
  /// dropped: the successor gets those requests again.
  StatusOr<Device> Release();
  /// Tells the kernel that layer `number` is no longer in the root. May block until reads
  /// of the layer's pages that are on their way have ended.
  void ForgetLayer(uint64_t number);

 private:
  class Workers;
  Session(Options options, std::shared_ptr<Connection> connection);

  const Options options_;
  std::shared_ptr<Connection> connection_;  // deferred replies own it too
  std::unique_ptr<Workers> workers_;
  bool is_released_ = false;
};

}  // namespace starling::fuse
