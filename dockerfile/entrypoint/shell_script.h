/// What a shell script does with its arguments, as far as its text tells. Pure.
#pragma once

#include <string>
#include <string_view>
#include <vector>

#include "dockerfile/entrypoint/shell_commands.h"

namespace starling::dockerfile::entrypoint {

/// Whether an entrypoint ends as the command that is behind it: in its place, by exec.
enum class Verdict { kDoes, kDoesNot, kCannotTell };

/// "does", "does not", "cannot tell".
std::string_view NameOf(Verdict verdict);

struct ScriptEnd {
  /// Of kDoes: exec of `words`, the last of which are the arguments.
  Verdict verdict = Verdict::kCannotTell;
  /// With the line, such as "line 3: exec \"$@\"".
  std::string reason;
  /// What is executed in front of the arguments that nobody knows yet.
  std::vector<Word> words;
};

/// The script is called with `first_arguments` and then those that nobody knows yet.
ScriptEnd EndOf(std::string_view script, std::vector<Word> first_arguments);

}  // namespace starling::dockerfile::entrypoint
