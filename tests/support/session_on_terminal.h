#pragma once

#include <gtest/gtest.h>
#include <pty.h>
#include <sys/wait.h>
#include <unistd.h>

#include <functional>
#include <string>

#include "base/unique_fd.h"

namespace starling::testing_support {

/// A process, forked from the test, that leads a session on a terminal of its own, as a shell does.
/// Its terminal is its standard input, output and error.
class SessionOnTerminal {
 public:
  /// `body` gives its exit code.
  explicit SessionOnTerminal(const std::function<int()>& body) {
    int keyboard = -1;
    pid_ = ::forkpty(&keyboard, nullptr, nullptr, nullptr);
    if (pid_ == 0) {
      ::_exit(body());
    }
    keyboard_.Reset(keyboard);
  }
  ~SessionOnTerminal() { Wait(); }
  SessionOnTerminal(const SessionOnTerminal&) = delete;
  SessionOnTerminal& operator=(const SessionOnTerminal&) = delete;

  void Type(const std::string& text) const {
    EXPECT_EQ(::write(keyboard_.get(), text.data(), text.size()),
              static_cast<ssize_t>(text.size()));
  }
  /// Waits until it shows `text`, or has ended; what it has shown since it began.
  const std::string& ShownUntil(const std::string& text) {
    std::string piece(4096, '\0');
    while (shown_.find(text) == std::string::npos) {
      const ssize_t size = ::read(keyboard_.get(), piece.data(), piece.size());
      if (size <= 0) {
        break;
      }
      shown_.append(piece, 0, static_cast<size_t>(size));
    }
    return shown_;
  }
  int Wait() {
    int status = 0;
    if (pid_ > 0 && ::waitpid(pid_, &status, 0) == pid_) {
      exit_code_ = WIFEXITED(status) ? WEXITSTATUS(status) : -1;
    }
    pid_ = -1;
    return exit_code_;
  }

 private:
  pid_t pid_ = -1;
  int exit_code_ = -1;
  UniqueFd keyboard_;
  std::string shown_;
};

}  // namespace starling::testing_support
