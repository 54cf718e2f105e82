#include "dockerfile/syntax/shell_pattern.h"

#include <re2/re2.h>

#include <algorithm>
#include <memory>

#include "dockerfile/syntax/characters.h"

namespace starling::dockerfile::syntax {
namespace {

/// A search of a value takes time in proportion to its length, whatever the pattern.
/// In a `value` that is not UTF-8 a character is a byte.
StatusOr<std::unique_ptr<RE2>> Compile(std::string_view value, std::string_view pattern,
                                       Match match, std::string_view before,
                                       std::string_view after) {
  const auto refuse = [&](std::string_view why) {
    return MakeError(StatusCode::kInvalidArgument,
                     fmt::format("invalid pattern ({}) in substitution: {}", pattern, why));
  };
  std::string expression(before);
  for (std::string_view left = pattern; !left.empty();) {
    std::string_view next = FirstCharacter(left).bytes;
    left.remove_prefix(next.size());
    if (next == "*") {
      expression += match == Match::kShortest ? ".*?" : ".*";
      continue;
    }
    if (next == "?") {
      expression += '.';
      continue;
    }
    if (next == "\\") {
      if (left.empty()) {
        return refuse("it ends in an escape");
      }
      next = FirstCharacter(left).bytes;
      left.remove_prefix(next.size());
      if (next.size() != 1 || std::string_view("*?\\}/").find(next) == std::string_view::npos) {
        return refuse(fmt::format("nothing to escape in '\\{}'", next));
      }
    }
    expression += RE2::QuoteMeta(next);
  }
  expression += after;
  RE2::Options options;
  options.set_log_errors(false);
  if (!IsUtf8(value) || !IsUtf8(pattern)) {
    options.set_encoding(RE2::Options::EncodingLatin1);
  }
  auto compiled = std::make_unique<RE2>(expression, options);
  if (!compiled->ok()) {
    return refuse(compiled->error());
  }
  return compiled;
}

}  // namespace

StatusOr<std::string> CutPrefix(std::string_view value, std::string_view pattern, Match match) {
  ASSIGN_OR_RETURN(const auto compiled, Compile(value, pattern, match, "^(?:", ")"));
  re2::StringPiece found;
  if (!compiled->Match(value, 0, value.size(), RE2::ANCHOR_START, &found, 1)) {
    return std::string(value);
  }
  return std::string(value.substr(found.size()));
}

StatusOr<std::string> CutSuffix(std::string_view value, std::string_view pattern, Match match) {
  // The longest suffix is the one with the shortest text before it.
  ASSIGN_OR_RETURN(
      const auto compiled,
      Compile(value, pattern, match, match == Match::kLongest ? "^((?s:.*?))" : "^((?s:.*))", "$"));
  re2::StringPiece found[2];
  if (!compiled->Match(value, 0, value.size(), RE2::ANCHOR_BOTH, found, 2)) {
    return std::string(value);
  }
  return std::string(found[1].data(), found[1].size());
}

StatusOr<std::string> ReplacePattern(std::string_view value, std::string_view pattern,
                                     std::string_view replacement, Replace replace,
                                     size_t limit_bytes) {
  ASSIGN_OR_RETURN(const auto compiled, Compile(value, pattern, Match::kLongest, "", ""));
  std::string result;
  size_t at = 0;
  bool after_match = false;
  while (at <= value.size()) {
    re2::StringPiece found;
    if (!compiled->Match(value, at, value.size(), RE2::UNANCHORED, &found, 1)) {
      break;
    }
    const auto begin = static_cast<size_t>(found.data() - value.data());
    result += value.substr(at, begin - at);
    // Nothing is no match of its own directly behind another one.
    if (!found.empty() || begin != at || !after_match) {
      result += replacement;
    }
    at = begin + found.size();
    after_match = !found.empty();
    if (replace == Replace::kFirst) {
      break;
    }
    if (found.empty()) {
      if (at == value.size()) {
        break;
      }
      const std::string_view skipped = FirstCharacter(value.substr(at)).bytes;
      result += skipped;
      at += skipped.size();
    }
    if (result.size() > limit_bytes) {
      break;
    }
  }
  result += value.substr(std::min(at, value.size()));
  if (result.size() > limit_bytes) {
    return MakeError(StatusCode::kResourceExhausted,
                     fmt::format("a substitution gives more than {} bytes", limit_bytes));
  }
  return result;
}

}  // namespace starling::dockerfile::syntax
