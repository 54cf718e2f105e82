#include "runc/saved_terminal.h"

#include <pthread.h>
#include <signal.h>
#include <unistd.h>

#include <cerrno>

namespace starling::runc {

StatusOr<SavedTerminal> SavedTerminal::Save(int fd) {
  termios attributes{};
  const pid_t foreground = ::tcgetpgrp(fd);
  if (foreground < 0 || ::tcgetattr(fd, &attributes) != 0) {
    return MakeError(StatusCode::kFailedPrecondition, "there is no terminal to work on");
  }
  return SavedTerminal(fd, attributes, foreground);
}

void SavedTerminal::Restore() const {
  if (fd_ < 0) {
    return;
  }
  sigset_t stops;
  sigset_t before;
  ::sigemptyset(&stops);
  ::sigaddset(&stops, SIGTTOU);
  ::pthread_sigmask(SIG_BLOCK, &stops, &before);
  ::tcsetattr(fd_, TCSANOW, &attributes_);
  ::tcsetpgrp(fd_, foreground_);
  ::pthread_sigmask(SIG_SETMASK, &before, nullptr);
}

}  // namespace starling::runc
