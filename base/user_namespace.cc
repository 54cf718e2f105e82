#include "base/user_namespace.h"

#include <fcntl.h>
#include <sched.h>
#include <signal.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cerrno>
#include <string>

namespace starling {
namespace {

/// Of the child, which waits for its end. Takes no memory and no lock: other threads of the parent
/// may have held some.
[[noreturn]] void WaitForTheEnd() {
  ::prctl(PR_SET_PDEATHSIG, SIGKILL);
  for (;;) {
    ::pause();
  }
}

Status WriteMap(const std::string& file, std::span<const IdRange> ranges) {
  std::string text;
  for (const IdRange& range : ranges) {
    text += fmt::format("{} {} {}\n", range.inside, range.outside, range.count);
  }
  const UniqueFd fd(::open(file.c_str(), O_WRONLY | O_CLOEXEC));
  // The kernel takes a map in one write or not at all.
  if (!fd.valid() || ::write(fd.get(), text.data(), text.size()) < 0) {
    return ErrnoError(errno, "map IDs in a user namespace");
  }
  return OkStatus();
}

StatusOr<UniqueFd> NamespaceOf(pid_t child, std::span<const IdRange> uids,
                               std::span<const IdRange> gids) {
  const std::string process = fmt::format("/proc/{}", child);
  RETURN_IF_ERROR(WriteMap(process + "/uid_map", uids));
  RETURN_IF_ERROR(WriteMap(process + "/gid_map", gids));
  UniqueFd fd(::open((process + "/ns/user").c_str(), O_RDONLY | O_CLOEXEC));
  if (!fd.valid()) {
    return ErrnoError(errno, "open a user namespace");
  }
  return fd;
}

}  // namespace

StatusOr<UniqueFd> MakeUserNamespace(std::span<const IdRange> uids, std::span<const IdRange> gids) {
  // Not fork and unshare: a process with threads may not unshare, and libraries may start one.
  const auto child = static_cast<pid_t>(
      ::syscall(SYS_clone, CLONE_NEWUSER | SIGCHLD, nullptr, nullptr, nullptr, nullptr));
  if (child < 0) {
    return ErrnoError(errno, "make a user namespace");
  }
  if (child == 0) {
    WaitForTheEnd();
  }
  StatusOr<UniqueFd> made = NamespaceOf(child, uids, gids);
  ::kill(child, SIGKILL);
  while (::waitpid(child, nullptr, 0) < 0 && errno == EINTR) {
  }
  return made;
}

}  // namespace starling
