#include "confine/system_calls.h"

#include <gtest/gtest.h>
#include <spawn.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <functional>
#include <string>
#include <thread>

extern char** environ;

namespace starling::confine {
namespace {

/// What `body` returns in a process of its own that has limited its system calls.
int RunLimited(const std::function<int()>& body) {
  constexpr int kNotLimited = 99;
  const pid_t pid = ::fork();
  if (pid == 0) {
    if (::geteuid() != 0) {
      ::prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0);  // then a filter needs no root
    }
    ::_exit(LimitSystemCalls().ok() ? body() : kNotLimited);
  }
  int status = 0;
  EXPECT_EQ(::waitpid(pid, &status, 0), pid);
  EXPECT_TRUE(WIFEXITED(status)) << "signal " << WTERMSIG(status);
  EXPECT_NE(WEXITSTATUS(status), kNotLimited);
  return WEXITSTATUS(status);
}

int ErrnoOf(long result) { return result == -1 ? errno : 0; }

struct CallCase {
  const char* name;
  std::function<long()> call;
  int error_number;
};

const CallCase kCalls[] = {
    {"a stream socket", [] { return ::socket(AF_INET, SOCK_STREAM, 0); }, 0},
    {"a socket of the sixth version", [] { return ::socket(AF_INET6, SOCK_STREAM, 0); }, 0},
    {"a local socket", [] { return ::socket(AF_UNIX, SOCK_STREAM, 0); }, 0},
    {"addresses of interfaces", [] { return ::socket(AF_NETLINK, SOCK_RAW, 0); }, 0},
    {"the kernel's ciphers", [] { return ::socket(AF_ALG, SOCK_SEQPACKET, 0); }, EAFNOSUPPORT},
    {"raw packets", [] { return ::socket(AF_PACKET, SOCK_RAW, 0); }, EAFNOSUPPORT},
    {"a family of the middle", [] { return ::socket(AF_X25, SOCK_SEQPACKET, 0); }, EAFNOSUPPORT},
    {"no family", [] { return ::socket(AF_UNSPEC, SOCK_STREAM, 0); }, EAFNOSUPPORT},
    {"a negative family", [] { return ::socket(-1, SOCK_STREAM, 0); }, EAFNOSUPPORT},
    {"the server's own calls", [] { return ::syscall(SYS_getpid); }, 0},
    // Arguments that the kernel would refuse otherwise.
    {"another process's memory",
     [] { return ::syscall(SYS_process_vm_writev, 0, nullptr, 0, nullptr, 0, 0); }, ENOSYS},
    {"another process", [] { return ::syscall(SYS_ptrace, -1, 0, 0, 0); }, ENOSYS},
    {"programs in the kernel", [] { return ::syscall(SYS_bpf, -1, nullptr, 0); }, ENOSYS},
    {"modules", [] { return ::syscall(SYS_finit_module, -1, "", 0); }, ENOSYS},
    {"another kernel", [] { return ::syscall(SYS_kexec_load, 0, 0, nullptr, ~0UL); }, ENOSYS},
    {"a reboot", [] { return ::syscall(SYS_reboot, 0, 0, 0, nullptr); }, ENOSYS},
    {"rings", [] { return ::syscall(SYS_io_uring_setup, 0, nullptr); }, ENOSYS},
    {"page faults", [] { return ::syscall(SYS_userfaultfd, -1); }, ENOSYS},
    {"counters", [] { return ::syscall(SYS_perf_event_open, nullptr, 0, 0, -1, 0); }, ENOSYS},
    {"files by handle", [] { return ::syscall(SYS_open_by_handle_at, -1, nullptr, 0); }, ENOSYS},
    {"the clock", [] { return ::syscall(SYS_settimeofday, nullptr, nullptr); }, ENOSYS},
    {"swap", [] { return ::syscall(SYS_swapon, nullptr, 0); }, ENOSYS},
};

TEST(LimitSystemCalls, RefusesWhatIsNotAllowed) {
  for (const CallCase& test : kCalls) {
    EXPECT_EQ(RunLimited([&test] { return ErrnoOf(test.call()); }), test.error_number) << test.name;
  }
}

TEST(LimitSystemCalls, SaysThatItIsRefused) {
  const pid_t pid = ::fork();
  if (pid == 0) {
    // Somebody who is not root and has not given up new privileges.
    const bool is_ordinary = ::geteuid() != 0 || ::setuid(65534) == 0;
    ::_exit(is_ordinary && !LimitSystemCalls().ok() ? 0 : 1);
  }
  int status = -1;
  EXPECT_EQ(::waitpid(pid, &status, 0), pid);
  EXPECT_EQ(status, 0);
}

TEST(LimitSystemCalls, HoldsForThreadsThatAreStartedLater) {
  EXPECT_EQ(RunLimited([] {
              int error_number = 0;
              std::thread thread([&] { error_number = ErrnoOf(::syscall(SYS_bpf, -1, 0, 0)); });
              thread.join();
              return error_number;
            }),
            ENOSYS);
}

/// As a credential helper is: its exit code.
int RunProgram(const char* script) {
  const std::string program = "/bin/sh";
  std::string arguments[] = {program, "-ec", script};
  char* pointers[] = {arguments[0].data(), arguments[1].data(), arguments[2].data(), nullptr};
  pid_t pid = -1;
  if (::posix_spawn(&pid, program.c_str(), nullptr, nullptr, pointers, environ) != 0) {
    return -1;
  }
  int status = 0;
  return ::waitpid(pid, &status, 0) == pid && WIFEXITED(status) ? WEXITSTATUS(status) : -1;
}

// Languages that credential helpers are written in, and what those do.
constexpr const char* kPrograms[] = {
    "test \"$(echo a | sed s/a/b/)\" = b",
    R"py(python3 -c '
import hashlib, json, multiprocessing, socket, sqlite3, ssl, subprocess, tempfile, threading
assert subprocess.run(["cat"], input=b"x", stdout=subprocess.PIPE, check=True).stdout == b"x"
thread = threading.Thread(target=ssl.create_default_context); thread.start(); thread.join()
with tempfile.NamedTemporaryFile() as file: sqlite3.connect(file.name).execute("create table t(a)")
socket.getaddrinfo("localhost", 80)
multiprocessing.get_context("spawn")
one, other = socket.socketpair(); one.send(b"y"); assert other.recv(1) == b"y"
')py",
    "skopeo --version >/dev/null",  // Go
    "openssl rand -hex 8 >/dev/null",
    "curl --version >/dev/null",
    "exec setpriv --no-new-privs true",
    "unshare -m true || test \"$(id -u)\" != 0",
};

TEST(LimitSystemCalls, LeavesOrdinaryProgramsAlone) {
  for (const char* script : kPrograms) {
    EXPECT_EQ(RunLimited([script] { return RunProgram(script); }), 0) << script;
  }
}

TEST(LimitSystemCalls, HoldsForProgramsThatAreExecuted) {
  EXPECT_EQ(RunLimited([] {
              return RunProgram(
                  "python3 -c 'import socket; socket.socket(socket.AF_ALG, "
                  "socket.SOCK_SEQPACKET)' 2>&1 | grep -q 'not supported'");
            }),
            0);
}

TEST(AllowedSystemCalls, NamesEachOnce) {
  std::vector<std::string> names = AllowedSystemCalls();
  EXPECT_GT(names.size(), 200U);
  std::ranges::sort(names);
  const auto twice = std::ranges::adjacent_find(names);
  EXPECT_EQ(twice, names.end()) << *twice;
}

}  // namespace
}  // namespace starling::confine
