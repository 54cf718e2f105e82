#pragma once

#include <sys/types.h>
#include <termios.h>

#include <utility>

#include "base/status.h"

namespace starling::runc {

/// How a terminal is set and who is in its foreground: put back when this goes, whoever has it
/// then. Borrows the descriptor. Threads: one at a time.
class SavedTerminal {
 public:
  /// kFailedPrecondition when `fd` is not this process's controlling terminal.
  static StatusOr<SavedTerminal> Save(int fd);

  SavedTerminal(SavedTerminal&& other) noexcept
      : fd_(std::exchange(other.fd_, -1)),
        attributes_(other.attributes_),
        foreground_(other.foreground_) {}
  SavedTerminal& operator=(SavedTerminal&&) = delete;
  ~SavedTerminal() { Restore(); }

  /// Also from the background, which a terminal stops otherwise.
  void Restore() const;

 private:
  SavedTerminal(int fd, const termios& attributes, pid_t foreground)
      : fd_(fd), attributes_(attributes), foreground_(foreground) {}
  int fd_;
  termios attributes_;
  pid_t foreground_;
};

}  // namespace starling::runc
