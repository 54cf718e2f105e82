/// One instruction taken apart: name, flags, arguments; what they mean is not looked at yet.
#pragma once

#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "dockerfile/syntax/heredoc.h"
#include "dockerfile/syntax/position.h"
#include "dockerfile/syntax/source_lines.h"

namespace starling::dockerfile::syntax {

struct Statement {
  /// As written, in any case.
  Text name;
  /// --NAME[=VALUE] without quotes and escapes, in front of the arguments.
  std::vector<Text> flags;
  /// How these are split depends on the instruction: ENV and LABEL have a name, a value and a
  /// separator ("=", or "" for the old form) for each entry; RUN, CMD and their like one text, or
  /// the members of a JSON array; HEALTHCHECK its type in front of that.
  std::vector<Text> arguments;
  /// The arguments were a JSON array.
  bool json = false;
  /// Of ONBUILD: what it triggers. It has the heredocs, too, but no comments and no range.
  std::unique_ptr<Statement> trigger;
  std::vector<Heredoc> heredocs;
  /// The comments in front, without `#`.
  std::vector<Text> comments;
  /// The instruction with continuation lines joined, without heredocs.
  std::string source;
  /// From the name to the end of the last line, heredocs included.
  Range range;
  bool has_empty_continuation = false;
};

/// A whole Dockerfile, statement by statement, as far as it can be read.
struct Statements {
  std::vector<Statement> statements;
  std::vector<Directive> directives;
  char escape = '\\';
  /// What ended the reading before the end of the text.
  std::optional<Problem> problem;
};

/// Never more triggers in triggers than this are looked into; one is one too many already.
inline constexpr int kMaxTriggerDepth = 4;

/// Takes `text` apart. A text without any instruction is a problem.
Statements ParseStatements(std::string_view text);

}  // namespace starling::dockerfile::syntax
