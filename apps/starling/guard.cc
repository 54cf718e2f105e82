#include "apps/starling/guard.h"

#include <signal.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cerrno>
#include <cstdio>
#include <cstdlib>

namespace starling::cli {
namespace {

constexpr int kSignalBase = 128;

/// Waits for the child and passes on what asks it to stop.
int WaitFor(pid_t child, const sigset_t& signals) {
  for (;;) {
    int signal = 0;
    if (::sigwait(&signals, &signal) != 0) {
      continue;
    }
    if (signal != SIGCHLD) {
      ::kill(child, signal);
      continue;
    }
    int status = 0;
    const pid_t ended = ::waitpid(child, &status, WNOHANG);
    if (ended == child || (ended < 0 && errno == ECHILD)) {
      return status;
    }
  }
}

}  // namespace

void GuardProcess(const std::function<void()>& cleanup) {
  sigset_t signals;
  sigset_t before;
  ::sigemptyset(&signals);
  for (const int signal : {SIGINT, SIGTERM, SIGHUP, SIGCHLD}) {
    ::sigaddset(&signals, signal);
  }
  ::sigprocmask(SIG_BLOCK, &signals, &before);
  const pid_t parent = ::getpid();
  const pid_t child = ::fork();
  if (child <= 0) {
    ::sigprocmask(SIG_SETMASK, &before, nullptr);
    if (child == 0) {
      // A terminal's signals reach it through its parent, once.
      ::setpgid(0, 0);
      ::prctl(PR_SET_PDEATHSIG, SIGTERM, 0, 0, 0);
      if (::getppid() != parent) {
        ::raise(SIGTERM);
      }
    }
    return;  // without a child it goes on unguarded
  }
  const int status = WaitFor(child, signals);
  if (WIFEXITED(status)) {
    ::_exit(WEXITSTATUS(status));
  }
  std::fprintf(stderr, "starling: ended by signal %d; removing what it has begun\n",
               WTERMSIG(status));
  cleanup();
  ::_exit(kSignalBase + WTERMSIG(status));
}

}  // namespace starling::cli
