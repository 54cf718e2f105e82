#pragma once

#include <poll.h>
#include <pthread.h>
#include <signal.h>
#include <sys/eventfd.h>
#include <sys/signalfd.h>
#include <unistd.h>

#include <array>
#include <cstdint>
#include <stop_token>
#include <thread>

#include "base/unique_fd.h"

namespace starling::cli {

/// Turns the first SIGINT or SIGTERM into a stop request, so that the lease is given back; the
/// second one ends the process. Made before any other thread.
class StopOnSignal {
 public:
  StopOnSignal() {
    sigset_t signals;
    sigemptyset(&signals);
    sigaddset(&signals, SIGINT);
    sigaddset(&signals, SIGTERM);
    pthread_sigmask(SIG_BLOCK, &signals, nullptr);
    arrived_.Reset(::signalfd(-1, &signals, SFD_CLOEXEC));
    watcher_ = std::jthread([this, signals] {
      if (!WaitFor(arrived_.get())) {
        return;
      }
      stop_.request_stop();
      signalfd_siginfo first{};
      [[maybe_unused]] const ssize_t taken = ::read(arrived_.get(), &first, sizeof(first));
      // The next one is this thread's, as long as there is one.
      pthread_sigmask(SIG_UNBLOCK, &signals, nullptr);
      WaitFor(-1);
    });
  }
  StopOnSignal(const StopOnSignal&) = delete;
  StopOnSignal& operator=(const StopOnSignal&) = delete;
  ~StopOnSignal() {
    // Nobody waits for the watcher: it hears of the end.
    const uint64_t one = 1;
    [[maybe_unused]] const ssize_t written = ::write(ended_.get(), &one, sizeof(one));
  }
  std::stop_token token() const { return stop_.get_token(); }

 private:
  /// Until `fd` can be read, or false at the end.
  bool WaitFor(int fd) const {
    std::array<pollfd, 2> watched = {{{.fd = fd, .events = POLLIN, .revents = 0},
                                      {.fd = ended_.get(), .events = POLLIN, .revents = 0}}};
    while (::poll(watched.data(), watched.size(), -1) < 0) {
    }
    return watched[1].revents == 0;
  }

  std::stop_source stop_;
  UniqueFd arrived_;
  UniqueFd ended_{::eventfd(0, EFD_CLOEXEC)};
  std::jthread watcher_;  // last: it uses the others
};

}  // namespace starling::cli
