#pragma once

#include <cstdint>
#include <map>
#include <optional>
#include <string>
#include <vector>

#include "base/status.h"
#include "config/settings.h"

namespace starling::doctor {

/// A file system, as statfs(2) tells.
struct Volume {
  std::string type;         // "ext4", ...; a number in hexadecimal when it has no name here
  std::string mount_point;  // may be empty
  uint64_t total_bytes = 0;
  uint64_t free_bytes = 0;
  uint64_t total_inodes = 0;  // 0: as many as one likes
  uint64_t free_inodes = 0;
  bool is_read_only = false;
};

/// A containerd that answers.
struct RunningContainerd {
  struct Plugin {
    std::string socket;  // empty: not said
    std::map<std::string, std::string> exports;
    std::string error;  // not empty: it cannot be used
  };
  std::string version;
  std::map<std::string, Plugin> snapshotters;  // by name
};

/// What a machine does when it is asked, apart from its files. Threads: one at a time.
class Machine {
 public:
  virtual ~Machine() = default;

  virtual bool IsRoot() = 0;
  /// As uname(2) has it: "6.18.44".
  virtual std::string KernelRelease() = 0;
  /// Whether the kernel has this file system; loads its module, as a mount would. kUnimplemented:
  /// it has not; kPermissionDenied: this process cannot know.
  virtual Status HasFileSystem(const std::string& name) = 0;
  /// Opens /dev/fuse. kNotFound: there is none; kPermissionDenied.
  virtual Status OpenFuseDevice() = 0;
  /// Of `path`, or of its nearest parent that exists.
  virtual StatusOr<Volume> VolumeAt(const std::string& path) = 0;
  /// Makes an overlay whose upper directory is there, and drops it.
  virtual Status OverlayAt(const std::string& path) = 0;
  /// Whether files there can share blocks.
  virtual bool SharesBlocksAt(const std::string& path) = 0;
  /// Whether a mount of what is there can have its IDs mapped.
  virtual bool MapsIdsAt(const std::string& path) = 0;
  /// Whether the processes behind two sockets have the same mounts.
  virtual StatusOr<bool> ShareMounts(const std::string& socket, const std::string& other) = 0;

  /// kNotFound: no such socket; kUnavailable: nobody answers.
  virtual StatusOr<RunningContainerd> AskContainerd(const std::string& socket) = 0;
  /// "1.6.20", of the program in PATH; kNotFound without one.
  virtual StatusOr<std::string> InstalledContainerd() = 0;
  /// Whether starlingd answers.
  virtual Status AskStarlingd(const std::string& socket) = 0;
  /// Reads the manifest of `image` as starlingd with these settings would. kUnauthenticated,
  /// kPermissionDenied: refused; kNotFound; kUnavailable, kDeadlineExceeded: not reached.
  virtual Status ReadImage(const std::string& image, const config::Settings& settings) = 0;
};

}  // namespace starling::doctor
