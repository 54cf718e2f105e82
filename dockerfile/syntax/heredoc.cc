#include "dockerfile/syntax/heredoc.h"

#include <charconv>

#include "dockerfile/syntax/shell_words.h"

namespace starling::dockerfile::syntax {

std::string Heredoc::Body() const {
  if (!cut_tabs) {
    return content;
  }
  std::string body;
  bool line_start = true;
  for (const char c : content) {
    if (c != '\t' || !line_start) {
      body += c;
      line_start = c == '\n';
    }
  }
  return body;
}

std::optional<Heredoc> ParseHeredoc(std::string_view word) {
  Heredoc heredoc;
  const size_t digits = word.find_first_not_of("0123456789");
  if (digits == std::string_view::npos || word.substr(digits, 2) != "<<") {
    return std::nullopt;
  }
  if (digits > 0 &&
      std::from_chars(word.data(), word.data() + digits, heredoc.file_descriptor).ec !=
          std::errc()) {
    return std::nullopt;
  }
  word.remove_prefix(digits + 2);
  if (word.starts_with('-')) {
    heredoc.cut_tabs = true;
    word.remove_prefix(1);
  }
  if (word.empty() || word.find('<') != std::string_view::npos) {
    return std::nullopt;
  }
  const auto plain = Expand(word, NoVariables, {.keep_unset = true});
  const auto quoted =
      Expand(word, NoVariables, {.keep_quotes = true, .keep_escapes = true, .keep_unset = true});
  if (!plain.ok() || !quoted.ok() || plain->words.size() != 1 || quoted->words.size() != 1) {
    return std::nullopt;
  }
  heredoc.name = plain->words.front();
  heredoc.expand = heredoc.name == quoted->words.front();
  return heredoc;
}

std::vector<Heredoc> FindHeredocs(std::string_view instruction) {
  std::vector<Heredoc> found;
  const auto split = Expand(instruction, NoVariables,
                            {.keep_quotes = true, .keep_escapes = true, .keep_unset = true});
  if (split.ok()) {
    for (const std::string& word : split->words) {
      if (auto heredoc = ParseHeredoc(word)) {
        found.push_back(*std::move(heredoc));
      }
    }
  }
  return found;
}

}  // namespace starling::dockerfile::syntax
