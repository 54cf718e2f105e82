#include "dockerfile/build/private_mounts.h"

#include <sched.h>
#include <sys/mount.h>

#include <cerrno>
#include <thread>

#include "base/executor.h"
#include "base/file_system.h"

namespace starling::dockerfile::build {
namespace {

/// A name space belongs to a thread: the others keep theirs.
Status EnterPrivateMounts(const std::filesystem::path& directory) {
  if (::unshare(CLONE_NEWNS) != 0 ||
      // Where mounts are shared, nothing of ours must be seen elsewhere.
      ::mount(nullptr, "/", nullptr, MS_REC | MS_SLAVE, nullptr) != 0) {
    return Annotate(ErrnoError(errno, "a mount name space of its own"), "a step needs root");
  }
  return ::mount("tmpfs", directory.c_str(), "tmpfs", MS_NOSUID | MS_NODEV, "mode=0700") == 0
             ? OkStatus()
             : ErrnoError(errno, directory.native());
}

}  // namespace

Status RunWithPrivateMounts(const std::filesystem::path& directory,
                            const std::function<Status()>& work) {
  RETURN_IF_ERROR(MakeDirectories(directory, 0700));
  Status result;
  std::thread thread([&] {
    SetThreadName("step-files");
    result = EnterPrivateMounts(directory);
    if (result.ok()) {
      result = work();
    }
  });
  thread.join();
  return result;
}

}  // namespace starling::dockerfile::build
