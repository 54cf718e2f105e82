#pragma once

#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "dockerfile/syntax/instruction.h"
#include "dockerfile/syntax/position.h"
#include "dockerfile/syntax/source_lines.h"

namespace starling::dockerfile::syntax {

/// From one FROM to the next.
struct Stage {
  Instruction from_instruction;
  std::vector<Instruction> instructions;

  const From& from() const { return std::get<From>(from_instruction.value); }
};

/// A Dockerfile as far as it can be read. What comes in front of a problem is there, so that lint
/// can speak of it; nobody builds one that has a problem.
struct Dockerfile {
  /// ARG in front of the first FROM.
  std::vector<Instruction> global_arguments;
  std::vector<Stage> stages;
  std::vector<Directive> directives;
  char escape = '\\';
  std::optional<Problem> problem;

  /// The value of a directive, or nothing.
  const Text* FindDirective(std::string_view name) const;
};

/// Reads a whole Dockerfile from untrusted bytes; takes time in proportion to its size.
Dockerfile ParseDockerfile(std::string_view text);

/// Reads the expression of an ONBUILD trigger, as an image's configuration keeps it.
Checked<Instruction> ParseTrigger(std::string_view expression);

}  // namespace starling::dockerfile::syntax
