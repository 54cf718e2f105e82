#include "confine/system_calls.h"

#include <seccomp.h>
#include <sys/socket.h>

#include <algorithm>
#include <cerrno>
#include <iterator>
#include <memory>
#include <sstream>
#include <string_view>

namespace starling::confine {
namespace {

/// Grouped by what they are about, names separated by spaces. A name that this machine's
/// architecture lacks means nothing.
constexpr std::string_view kAllowed[] = {
    // Files by path.
    "access chdir chmod chown creat faccessat faccessat2 fchdir fchmodat fchownat futimesat "
    "getcwd lchown link linkat lstat mkdir mkdirat mknod mknodat name_to_handle_at newfstatat "
    "open openat openat2 readlink readlinkat rename renameat renameat2 rmdir stat statfs "
    "statx symlink symlinkat truncate umask unlink unlinkat utime utimensat utimes",
    // Extended attributes.
    "fgetxattr flistxattr fremovexattr fsetxattr getxattr lgetxattr listxattr llistxattr "
    "lremovexattr lsetxattr removexattr setxattr",
    // Descriptors and what is behind them.
    "close close_range copy_file_range dup dup2 dup3 fadvise64 fallocate fchmod fchown fcntl "
    "fdatasync flock fstat fstatfs fsync ftruncate getdents getdents64 ioctl lseek "
    "memfd_create pipe pipe2 pread64 preadv preadv2 pwrite64 pwritev pwritev2 read readahead "
    "readv sendfile splice sync sync_file_range syncfs tee vmsplice write writev",
    // Waiting for them.
    "epoll_create epoll_create1 epoll_ctl epoll_pwait epoll_pwait2 epoll_wait eventfd "
    "eventfd2 inotify_add_watch inotify_init inotify_init1 inotify_rm_watch io_cancel "
    "io_destroy io_getevents io_pgetevents io_setup io_submit poll ppoll pselect6 select "
    "signalfd signalfd4 timerfd_create timerfd_gettime timerfd_settime",
    // Mounts, and the namespaces that a wrapper of a credential helper may enter.
    "chroot fsconfig fsmount fsopen fspick mount mount_setattr move_mount open_tree "
    "pivot_root setns umount2 unshare",
    // Sockets; `socket` itself is limited to some families.
    "accept accept4 bind connect getpeername getsockname getsockopt listen recvfrom recvmmsg "
    "recvmsg sendmmsg sendmsg sendto setsockopt shutdown socketpair",
    // Memory.
    "brk get_mempolicy madvise mbind membarrier mincore mlock mlock2 mlockall mmap mprotect "
    "mremap msync munlock munlockall munmap pkey_alloc pkey_free pkey_mprotect set_mempolicy",
    // Threads.
    "arch_prctl futex futex_waitv get_robust_list get_thread_area gettid rseq set_robust_list "
    "set_thread_area set_tid_address",
    // Processes.
    "clone clone3 execve execveat exit exit_group fork getpgid getpgrp getpid getppid getsid "
    "personality pidfd_open pidfd_send_signal prctl seccomp setpgid setsid vfork wait4 waitid "
    "waitpid",
    // Who they are.
    "add_key capget capset getegid geteuid getgid getgroups getresgid getresuid getuid keyctl "
    "request_key setfsgid setfsuid setgid setgroups setregid setresgid setresuid setreuid "
    "setuid",
    // What they may use.
    "getcpu getpriority getrlimit getrusage ioprio_get ioprio_set prlimit64 "
    "sched_get_priority_max sched_get_priority_min sched_getaffinity sched_getattr "
    "sched_getparam sched_getscheduler sched_rr_get_interval sched_setaffinity sched_setattr "
    "sched_setparam sched_setscheduler sched_yield setpriority setrlimit",
    // Signals.
    "kill pause restart_syscall rt_sigaction rt_sigpending rt_sigprocmask rt_sigqueueinfo "
    "rt_sigreturn rt_sigsuspend rt_sigtimedwait rt_tgsigqueueinfo sigaltstack tgkill tkill",
    // Time, and what the machine is.
    "alarm clock_getres clock_gettime clock_nanosleep getitimer getrandom gettimeofday "
    "nanosleep setitimer sysinfo time timer_create timer_delete timer_getoverrun "
    "timer_gettime timer_settime times uname",
    // System V and POSIX ways for programs to talk.
    "mq_getsetattr mq_notify mq_open mq_timedreceive mq_timedsend mq_unlink msgctl msgget "
    "msgrcv msgsnd semctl semget semop semtimedop shmat shmctl shmdt shmget",
};

constexpr int kFamilies[] = {AF_UNIX, AF_INET, AF_INET6, AF_NETLINK};
constexpr int kLastFamily = std::ranges::max(kFamilies);

using Filter = std::unique_ptr<void, decltype(&::seccomp_release)>;

Status Check(int result, std::string_view what) {
  return result == 0 ? OkStatus()
                     : ErrnoError(-result, fmt::format("system call filter: {}", what));
}

Status AllowCalls(scmp_filter_ctx filter) {
  for (const std::string& name : AllowedSystemCalls()) {
    const int number = ::seccomp_syscall_resolve_name(name.c_str());
    if (number == __NR_SCMP_ERROR) {
      return MakeError(StatusCode::kInternal, fmt::format("system call {} has no number", name));
    }
    RETURN_IF_ERROR(Check(::seccomp_rule_add(filter, SCMP_ACT_ALLOW, number, 0), name));
  }
  return OkStatus();
}

Status AddForFamily(scmp_filter_ctx filter, uint32_t action, scmp_compare is, int family) {
  const scmp_arg_cmp first_argument{
      .arg = 0, .op = is, .datum_a = static_cast<scmp_datum_t>(family), .datum_b = 0};
  return Check(::seccomp_rule_add_array(filter, action, SCMP_SYS(socket), 1, &first_argument),
               "socket");
}

Status AllowFamilies(scmp_filter_ctx filter) {
  constexpr uint32_t kRefuse = SCMP_ACT_ERRNO(EAFNOSUPPORT);
  for (int family = 0; family <= kLastFamily; ++family) {
    const bool is_allowed = std::ranges::find(kFamilies, family) != std::end(kFamilies);
    RETURN_IF_ERROR(
        AddForFamily(filter, is_allowed ? SCMP_ACT_ALLOW : kRefuse, SCMP_CMP_EQ, family));
  }
  return AddForFamily(filter, kRefuse, SCMP_CMP_GT, kLastFamily);
}

}  // namespace

std::vector<std::string> AllowedSystemCalls() {
  std::vector<std::string> names;
  for (const std::string_view group : kAllowed) {
    std::istringstream words{std::string(group)};
    names.insert(names.end(), std::istream_iterator<std::string>(words), {});
  }
  return names;
}

Status LimitSystemCalls() {
  const Filter filter(::seccomp_init(SCMP_ACT_ERRNO(ENOSYS)), &::seccomp_release);
  if (!filter) {
    return MakeError(StatusCode::kFailedPrecondition, "this kernel has no seccomp filters");
  }
  // Root needs no promise of no_new_privs, which would break helpers that are wrapped in sudo.
  RETURN_IF_ERROR(Check(::seccomp_attr_set(filter.get(), SCMP_FLTATR_CTL_NNP, 0), "privileges"));
  RETURN_IF_ERROR(Check(::seccomp_attr_set(filter.get(), SCMP_FLTATR_CTL_LOG, 1), "audit log"));
  // Calls of another architecture's table.
  RETURN_IF_ERROR(Check(
      ::seccomp_attr_set(filter.get(), SCMP_FLTATR_ACT_BADARCH, SCMP_ACT_ERRNO(ENOSYS)), "tables"));
  RETURN_IF_ERROR(AllowCalls(filter.get()));
  RETURN_IF_ERROR(AllowFamilies(filter.get()));
  return Check(::seccomp_load(filter.get()), "load");
}

}  // namespace starling::confine
