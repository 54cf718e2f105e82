/// A shell script as its commands, as far as its grammar tells without running it. Pure.
#pragma once

#include <string>
#include <string_view>
#include <vector>

#include "base/status.h"

namespace starling::dockerfile::entrypoint {

/// Longer scripts are not read.
inline constexpr size_t kMaxScriptBytes = size_t{1} << 20U;

/// One word of a command line.
struct Word {
  enum class Kind {
    kText,            // known: `text` is its value
    kUnknown,         // something is expanded in it; `text` is as it is written
    kArguments,       // "$@": all arguments, each a word
    kSplitArguments,  // $@ or $*: their words, as they come apart at blanks
    kJoined,          // "$*", or "$@" with more around it
  };
  Kind kind = Kind::kText;
  std::string text;

  friend bool operator==(const Word&, const Word&) = default;
};

/// A simple command of a script.
struct Command {
  std::vector<Word> words;
  int line = 1;
  /// In a branch or a loop, or behind && or ||: whether it is run is decided when the script runs.
  bool is_conditional = false;
  /// In a pipeline, in parentheses or in the background: it is another process that runs it.
  bool in_subshell = false;
  /// The function that it is a part of; empty for none.
  std::string function;
};

/// The commands in the order of the text, without redirections, assignments in front and what
/// expansions run. kInvalidArgument, with the line, for a text that no shell could read, and
/// kResourceExhausted for one that is too long.
StatusOr<std::vector<Command>> CommandsOf(std::string_view script);

}  // namespace starling::dockerfile::entrypoint
