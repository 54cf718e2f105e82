#pragma once

#include <pthread.h>
#include <signal.h>

#include <stop_token>
#include <thread>

namespace starling::cli {

/// Turns the first SIGINT or SIGTERM into a stop request, so that the lease is given back; the
/// second one ends the process. Made before any other thread.
class StopOnSignal {
 public:
  StopOnSignal() {
    sigemptyset(&signals_);
    sigaddset(&signals_, SIGINT);
    sigaddset(&signals_, SIGTERM);
    pthread_sigmask(SIG_BLOCK, &signals_, nullptr);
    watcher_ = std::jthread([this](const std::stop_token& done) {
      constexpr timespec kPoll{.tv_sec = 0, .tv_nsec = 100'000'000};
      while (!done.stop_requested()) {
        if (sigtimedwait(&signals_, nullptr, &kPoll) > 0) {
          stop_.request_stop();
          pthread_sigmask(SIG_UNBLOCK, &signals_, nullptr);
          return;
        }
      }
    });
  }
  std::stop_token token() const { return stop_.get_token(); }

 private:
  sigset_t signals_{};
  std::stop_source stop_;
  std::jthread watcher_;  // last: it uses the others
};

}  // namespace starling::cli
