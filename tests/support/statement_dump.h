/// Statements in the notation of BuildKit's parser tests.
#pragma once

#include <nlohmann/json.hpp>
#include <string>

#include "base/status.h"
#include "base/text.h"
#include "dockerfile/syntax/characters.h"
#include "dockerfile/syntax/statement.h"

namespace starling::testing {

/// As Go quotes strings: control characters as escapes.
inline std::string Quoted(std::string_view text) {
  std::string quoted = "\"";
  while (!text.empty()) {
    const auto next = dockerfile::syntax::FirstCharacter(text);
    text.remove_prefix(next.bytes.size());
    const size_t named = std::string_view("\a\b\f\n\r\t\v\\\"").find(next.bytes);
    if (next.code < 0x80 && named != std::string_view::npos) {
      quoted += '\\';
      quoted += "abfnrtv\\\""[named];
    } else if (next.code < 0x20 || next.code == 0x7F) {
      quoted += fmt::format("\\x{:02x}", static_cast<unsigned>(next.code));
    } else if (next.code >= 0x80 && dockerfile::syntax::IsSpace(next.code)) {
      quoted += fmt::format("\\u{:04x}", static_cast<unsigned>(next.code));
    } else {
      quoted += next.bytes;
    }
  }
  return quoted + "\"";
}

inline std::string Dump(const dockerfile::syntax::Statement& statement) {
  std::string text = "(" + LowerCase(statement.name.value);
  std::string flags;
  for (const auto& flag : statement.flags) {
    flags += (flags.empty() ? "" : " ") + Quoted(flag.value);
  }
  if (!flags.empty()) {
    text += " [" + flags + "]";
  }
  if (statement.trigger) {
    text += " " + Dump(*statement.trigger);
  }
  for (const auto& argument : statement.arguments) {
    text += " " + Quoted(argument.value);
  }
  return text + ")";
}

inline std::string Dump(const dockerfile::syntax::Statements& statements) {
  std::string text;
  for (const auto& statement : statements.statements) {
    text += (text.empty() ? "" : "\n") + Dump(statement);
  }
  return text;
}

/// First and last line.
inline nlohmann::json Lines(const dockerfile::syntax::Statement& statement) {
  const auto& range = statement.range;
  return {range.begin.line, range.end.line - (range.end.column == 1 ? 1 : 0)};
}

inline nlohmann::json NodeOf(const dockerfile::syntax::Statement& statement) {
  nlohmann::json node = {{"instr", statement.name.value}, {"lines", Lines(statement)}};
  for (const auto& argument : statement.arguments) {
    node["args"].push_back(argument.value);
  }
  if (statement.arguments.empty()) {
    node["args"] = nullptr;
  }
  for (const auto& flag : statement.flags) {
    node["flags"].push_back(flag.value);
  }
  if (statement.json) {
    node["json"] = true;
  }
  for (const auto& comment : statement.comments) {
    node["comments"].push_back(comment.value);
  }
  for (const auto& heredoc : statement.heredocs) {
    node["heredocs"].push_back({{"chomp", heredoc.cut_tabs},
                                {"content", heredoc.content},
                                {"expand", heredoc.expand},
                                {"fd", heredoc.file_descriptor},
                                {"name", heredoc.name}});
  }
  return node;
}

}  // namespace starling::testing
