#pragma once

#include <pthread.h>
#include <signal.h>
#include <sys/signalfd.h>
#include <unistd.h>

#include <initializer_list>

#include "base/unique_fd.h"

namespace starling {

/// Has signals of the process wait in a descriptor while it lives. Made before other threads start,
/// which would take them.
class HeldSignals {
 public:
  HeldSignals(std::initializer_list<int> held) {
    sigset_t signals;
    sigemptyset(&signals);
    for (const int signal : held) {
      sigaddset(&signals, signal);
    }
    pthread_sigmask(SIG_BLOCK, &signals, &before_);
    fd_.Reset(::signalfd(-1, &signals, SFD_CLOEXEC | SFD_NONBLOCK));
  }
  HeldSignals(const HeldSignals&) = delete;
  HeldSignals& operator=(const HeldSignals&) = delete;
  ~HeldSignals() { pthread_sigmask(SIG_SETMASK, &before_, nullptr); }

  /// Readable when a signal has come.
  int fd() const { return fd_.get(); }
  /// The signal that came, which has done its work then; 0 when there is none.
  int Take() const {
    signalfd_siginfo taken{};
    return ::read(fd(), &taken, sizeof taken) == sizeof taken ? static_cast<int>(taken.ssi_signo)
                                                              : 0;
  }

 private:
  sigset_t before_{};
  UniqueFd fd_;
};

}  // namespace starling
