#include "base/child_program.h"

#include <fcntl.h>
#include <signal.h>
#include <spawn.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cerrno>
#include <mutex>

#include "base/poll.h"
#include "base/unique_fd.h"

extern char** environ;

namespace starling {
namespace {

std::mutex g_starting;  // leaf; of the whole process, as its descriptors are

/// Borrowed texts as exec wants them.
std::vector<char*> Pointers(std::vector<std::string>& texts) {
  std::vector<char*> pointers;
  pointers.reserve(texts.size() + 1);
  for (std::string& text : texts) {
    pointers.push_back(text.data());
  }
  pointers.push_back(nullptr);
  return pointers;
}

void AddDescriptor(posix_spawn_file_actions_t& actions, int from, int to) {
  if (from < 0) {
    posix_spawn_file_actions_addopen(&actions, to, "/dev/null", O_RDWR, 0);
  } else {
    posix_spawn_file_actions_adddup2(&actions, from, to);
  }
}

}  // namespace

NoProgramStarts::NoProgramStarts() { g_starting.lock(); }
NoProgramStarts::~NoProgramStarts() { g_starting.unlock(); }

StatusOr<ChildProgram> ChildProgram::Start(const Call& call) {
  posix_spawn_file_actions_t actions;
  posix_spawn_file_actions_init(&actions);
  AddDescriptor(actions, call.input, STDIN_FILENO);
  AddDescriptor(actions, call.output, STDOUT_FILENO);
  AddDescriptor(actions, call.error, STDERR_FILENO);
  if (call.takes_terminal) {
    posix_spawn_file_actions_addtcsetpgrp_np(&actions, STDIN_FILENO);
  }
  // Libraries open some without O_CLOEXEC.
  posix_spawn_file_actions_addclosefrom_np(&actions, STDERR_FILENO + 1);
  posix_spawnattr_t attributes;
  posix_spawnattr_init(&attributes);
  sigset_t none;
  sigset_t all;
  sigemptyset(&none);
  sigfillset(&all);
  posix_spawnattr_setsigmask(&attributes, &none);
  posix_spawnattr_setsigdefault(&attributes, &all);
  posix_spawnattr_setpgroup(&attributes, 0);
  posix_spawnattr_setflags(&attributes,
                           POSIX_SPAWN_SETPGROUP | POSIX_SPAWN_SETSIGMASK | POSIX_SPAWN_SETSIGDEF);
  std::vector<std::string> arguments = {call.program};
  arguments.insert(arguments.end(), call.arguments.begin(), call.arguments.end());
  std::vector<std::string> environment = call.environment.value_or(std::vector<std::string>());
  pid_t pid = -1;
  int error = 0;
  {
    const NoProgramStarts starting;  // but this one, which has executed when posix_spawn returns
    error =
        posix_spawnp(&pid, call.program.c_str(), &actions, &attributes, Pointers(arguments).data(),
                     call.environment ? Pointers(environment).data() : environ);
  }
  posix_spawn_file_actions_destroy(&actions);
  posix_spawnattr_destroy(&attributes);
  if (error != 0) {
    return ErrnoError(error, call.program);
  }
  return ChildProgram(pid);
}

ChildProgram::~ChildProgram() {
  if (pid_ > 0) {
    ::kill(-pid_, SIGKILL);
    while (::waitpid(pid_, nullptr, 0) < 0 && errno == EINTR) {
    }
  }
}

void ChildProgram::Signal(int signal) {
  if (pid_ > 0) {
    ::kill(-pid_, signal);
  }
}

std::optional<ChildProgram::End> ChildProgram::Wait(
    std::optional<std::chrono::steady_clock::time_point> deadline) {
  if (deadline) {
    const UniqueFd process(static_cast<int>(::syscall(SYS_pidfd_open, pid_, 0)));
    pollfd ended{.fd = process.get(), .events = POLLIN, .revents = 0};
    if (!process.valid() || !PollUntil(std::span(&ended, 1), deadline).value_or(false)) {
      return std::nullopt;
    }
  }
  siginfo_t ended{};
  while (::waitid(P_PID, static_cast<id_t>(pid_), &ended, WEXITED | WNOWAIT) != 0 &&
         errno == EINTR) {
  }
  // What is left of its group has nobody to answer to. Before its id can be another's.
  ::kill(-pid_, SIGKILL);
  int status = 0;
  while (::waitpid(pid_, &status, 0) < 0) {
    if (errno != EINTR) {
      pid_ = -1;
      return End{};
    }
  }
  pid_ = -1;
  return WIFEXITED(status) ? End{.exit_status = WEXITSTATUS(status)}
                           : End{.exit_status = -1, .signal = WTERMSIG(status)};
}

}  // namespace starling
