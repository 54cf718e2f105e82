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

/// Of the child, which puts its namespace in the place of `fd`, stops, and waits for its end. It
/// opens the namespace itself: that of a process that cannot be dumped takes CAP_SYS_PTRACE. Takes
/// no memory and no lock: other threads of the parent may have held some.
[[noreturn]] void ShowNamespace(int fd) {
  ::prctl(PR_SET_PDEATHSIG, SIGKILL);
  const int own = ::open("/proc/self/ns/user", O_RDONLY | O_CLOEXEC);
  if (own < 0 || ::dup3(own, fd, O_CLOEXEC) < 0) {
    ::_exit(errno);
  }
  ::close(own);
  for (;;) {
    ::kill(::getpid(), SIGSTOP);
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

/// Waits until the child has stopped, and leaves it so.
Status MapIds(pid_t child, std::span<const IdRange> uids, std::span<const IdRange> gids) {
  siginfo_t child_is{};
  while (::waitid(P_PID, static_cast<id_t>(child), &child_is, WSTOPPED | WEXITED | WNOWAIT) < 0) {
    if (errno != EINTR) {
      return ErrnoError(errno, "wait for a process");
    }
  }
  if (child_is.si_code != CLD_STOPPED) {
    const int error_number = child_is.si_code == CLD_EXITED ? child_is.si_status : EINTR;
    return ErrnoError(error_number, "open a user namespace");
  }
  const std::string process = fmt::format("/proc/{}", child);
  RETURN_IF_ERROR(WriteMap(process + "/uid_map", uids));
  return WriteMap(process + "/gid_map", gids);
}

}  // namespace

StatusOr<UniqueFd> MakeUserNamespace(std::span<const IdRange> uids, std::span<const IdRange> gids) {
  UniqueFd name_space(::open("/dev/null", O_RDONLY | O_CLOEXEC));
  if (!name_space.valid()) {
    return ErrnoError(errno, "/dev/null");
  }
  // Not fork and unshare: a process with threads may not unshare, and libraries may start one. The
  // descriptors are those of both.
  const auto child = static_cast<pid_t>(::syscall(SYS_clone, CLONE_NEWUSER | CLONE_FILES | SIGCHLD,
                                                  nullptr, nullptr, nullptr, nullptr));
  if (child < 0) {
    return ErrnoError(errno, "make a user namespace");
  }
  if (child == 0) {
    ShowNamespace(name_space.get());
  }
  const Status mapped = MapIds(child, uids, gids);
  ::kill(child, SIGKILL);
  while (::waitpid(child, nullptr, 0) < 0 && errno == EINTR) {
  }
  RETURN_IF_ERROR(mapped);
  return name_space;
}

}  // namespace starling
