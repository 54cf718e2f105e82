/// Mounts for tests that vanish with the process, however it ends.
#pragma once

#include <gtest/gtest.h>
#include <sched.h>
#include <sys/mount.h>
#include <unistd.h>

#include <cerrno>
#include <filesystem>
#include <fstream>
#include <string>

#include "base/status.h"

namespace starling::testing_support {

/// Moves the calling process into its own mount namespace. Call before the first thread starts.
inline Status EnterPrivateMounts() {
  if (::unshare(CLONE_NEWNS) != 0 ||
      ::mount(nullptr, "/", nullptr, MS_REC | MS_PRIVATE, nullptr) != 0) {
    return ErrnoError(errno, "own mount namespace");
  }
  return OkStatus();
}

/// Needs root, and keeps what it mounts to this process.
class PrivateMountsFixture : public testing::Test {
 protected:
  static void SetUpTestSuite() {
    ASSERT_EQ(::geteuid(), 0U) << "needs root";
    static const Status status = EnterPrivateMounts();
    ASSERT_TRUE(status.ok()) << status;
  }
};

inline bool KernelKnowsFileSystem(const std::string& name) {
  std::ifstream list("/proc/filesystems");
  std::string word;
  while (list >> word) {
    if (word == name) {
      return true;
    }
  }
  return false;
}

/// One mount, unmounted when its owner goes.
class Mount {
 public:
  static StatusOr<Mount> Make(const std::string& source, const std::filesystem::path& target,
                              const std::string& type, unsigned long flags,
                              const std::string& options) {
    if (::mount(source.c_str(), target.c_str(), type.c_str(), flags, options.c_str()) != 0) {
      return ErrnoError(errno, fmt::format("mount {} on {}", type, target.string()));
    }
    return Mount(target);
  }
  Mount(Mount&& other) noexcept : target_(std::exchange(other.target_, {})) {}
  ~Mount() {
    if (!target_.empty()) {
      ::umount2(target_.c_str(), MNT_DETACH);
    }
  }

 private:
  explicit Mount(std::filesystem::path target) : target_(std::move(target)) {}
  std::filesystem::path target_;
};

}  // namespace starling::testing_support
