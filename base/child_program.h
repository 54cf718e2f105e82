#pragma once

#include <sys/types.h>

#include <chrono>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "base/status.h"

namespace starling {

/// While one exists, no ChildProgram is between its fork and its exec, where it has all of this
/// process's descriptors: what is closed meanwhile is open nowhere. Held for a moment only.
class NoProgramStarts {
 public:
  NoProgramStarts();
  ~NoProgramStarts();
  NoProgramStarts(const NoProgramStarts&) = delete;
  NoProgramStarts& operator=(const NoProgramStarts&) = delete;
};

/// A program that runs beside this one, in a process group of its own, with default signals and no
/// descriptor but its own three. Whatever happens, neither it nor what is left of its group
/// outlives this object. Threads: one at a time, except that Signal is safe while another waits.
class ChildProgram {
 public:
  struct Call {
    std::string program;                 // a path, or a name that is looked for in PATH
    std::vector<std::string> arguments;  // after its name; everybody can see them
    /// NAME=value; absent: this process's own.
    std::optional<std::vector<std::string>> environment;
    // Borrowed until Start returns; -1 is /dev/null.
    int input = -1;
    int output = -1;
    int error = -1;
    /// Its group becomes what the terminal at `input` listens to, which is this process's own.
    bool takes_terminal = false;
  };
  /// How it ended.
  struct End {
    int exit_status = -1;  // -1: a signal ended it
    int signal = 0;        // 0: none
  };

  /// kNotFound when there is no such program; other errors name it.
  static StatusOr<ChildProgram> Start(const Call& call);

  ChildProgram(ChildProgram&& other) noexcept : pid_(std::exchange(other.pid_, -1)) {}
  ChildProgram& operator=(ChildProgram&&) = delete;
  ~ChildProgram();

  pid_t pid() const { return pid_; }
  /// To all of its group, unless it has been waited for.
  void Signal(int signal);
  /// Waits for its end; nothing when `deadline` comes first. Call until it returns something, then
  /// no more.
  std::optional<End> Wait(std::optional<std::chrono::steady_clock::time_point> deadline = {});

 private:
  explicit ChildProgram(pid_t pid) : pid_(pid) {}
  pid_t pid_;
};

}  // namespace starling
