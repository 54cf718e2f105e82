// Property: any bytes are a Dockerfile or are refused at a place that exists; every place of what
// was read lies in the text, and expanding its words stays within the limits.
#include <algorithm>
#include <cstdint>
#include <cstdlib>
#include <string>
#include <string_view>

#include "dockerfile/syntax/dockerfile.h"
#include "dockerfile/syntax/excerpt.h"
#include "dockerfile/syntax/lint.h"
#include "dockerfile/syntax/shell_words.h"
#include "dockerfile/syntax/statement.h"

namespace {

using namespace starling::dockerfile::syntax;  // NOLINT(google-build-using-namespace)

bool IsBefore(const Position& a, const Position& b) {
  return a.line < b.line || (a.line == b.line && a.column <= b.column);
}

void Check(const Range& range, int lines) {
  if (range.begin.line < 0 || range.end.line > lines + 1 || !IsBefore(range.begin, range.end)) {
    std::abort();
  }
}

std::optional<std::string> Lookup(std::string_view name) {
  return name.size() % 2 == 0 ? std::optional(std::string(name) + "/*x") : std::nullopt;
}

void CheckStatement(const Statement& statement, int lines, char escape) {
  Check(statement.name.range, lines);
  for (const auto* texts : {&statement.flags, &statement.arguments, &statement.comments}) {
    for (const Text& text : *texts) {
      Check(text.range, lines);
      for (const bool heredoc : {false, true}) {
        const auto expansion =
            Expand(text.value, Lookup,
                   {.escape = escape, .ignore_quotes = heredoc, .keep_unset = heredoc});
        // A last piece may still be added to a text within the limit.
        if (expansion.ok() && expansion->text.size() > 3 * kMaxExpansionBytes) {
          std::abort();
        }
      }
    }
  }
  if (statement.trigger) {
    CheckStatement(*statement.trigger, lines, escape);
  }
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  const std::string_view text(reinterpret_cast<const char*>(data), size);
  const int lines = static_cast<int>(std::count(text.begin(), text.end(), '\n')) + 1;
  const Statements statements = ParseStatements(text);
  for (const Statement& statement : statements.statements) {
    Check(statement.range, lines);
    CheckStatement(statement, lines, statements.escape);
  }
  const Dockerfile dockerfile = ParseDockerfile(text);
  if (dockerfile.problem) {
    Check(dockerfile.problem->range, lines);
  } else if (dockerfile.stages.empty()) {
    std::abort();
  }
  LintSettings settings;
  settings.build.arguments["AB"] = "/b/a$";
  const LintReport report = Lint(dockerfile, settings);
  for (const LintWarning& warning : report.warnings) {
    Check(warning.range, lines);
  }
  if (report.problem) {
    Check(report.problem->range, lines);
    Excerpt(text, report.problem->range);
  }
  const auto trigger = ParseTrigger(text);
  if (!trigger.ok()) {
    Check(trigger.status().range, lines);
  }
  return 0;
}
