#pragma once

#include <chrono>
#include <string>
#include <utility>
#include <vector>

#include "base/status.h"

namespace starling::credentials {

/// What a program is started with.
struct ProgramCall {
  std::string program;                 // a path, or a name that is looked for in PATH
  std::vector<std::string> arguments;  // after its name; everybody can see them
  std::vector<std::pair<std::string, std::string>> variables;  // over those of this process
  std::string input;                                           // its standard input
  std::chrono::milliseconds timeout{0};
};

struct ProgramAnswer {
  int exit_status = -1;  // -1: a signal ended it, or it did not end in time
  std::string output;    // its standard output
};

/// Longer answers are kResourceExhausted.
inline constexpr size_t kMaxAnswerBytes = 1 << 20;

/// Runs a program that knows credentials, with no descriptor but its own three; its standard error
/// goes nowhere. Blocks, for `timeout` at most (kDeadlineExceeded); then the program and its
/// children are killed. Errors hold no part of the input or the output.
StatusOr<ProgramAnswer> RunProgram(const ProgramCall& call);

}  // namespace starling::credentials
