#include "dockerfile/syntax/paths.h"

#include <optional>
#include <utility>
#include <vector>

#include "dockerfile/syntax/characters.h"

namespace starling::dockerfile::syntax {

std::string CleanPath(std::string_view path) {
  const bool absolute = path.starts_with('/');
  std::vector<std::string_view> names;
  for (size_t at = 0; at <= path.size();) {
    const size_t end = std::min(path.find('/', at), path.size());
    const std::string_view name = path.substr(at, end - at);
    at = end + 1;
    if (name.empty() || name == ".") {
      continue;
    }
    if (name != "..") {
      names.push_back(name);
    } else if (!names.empty() && names.back() != "..") {
      names.pop_back();
    } else if (!absolute) {
      names.push_back(name);
    }
  }
  std::string clean(absolute ? "/" : "");
  for (const std::string_view name : names) {
    if (clean.size() > (absolute ? 1U : 0U)) {
      clean += '/';
    }
    clean += name;
  }
  return clean.empty() ? "." : clean;
}

Status CheckGlob(std::string_view pattern) {
  const auto refuse = [&](std::string_view why) {
    return MakeError(StatusCode::kInvalidArgument, fmt::format("pattern '{}': {}", pattern, why));
  };
  std::string_view left = pattern;
  // One character of a class; false when there is none.
  const auto take_member = [&left] {
    if (left.empty() || left.front() == '-' || left.front() == ']') {
      return false;
    }
    if (left.front() == '\\') {
      left.remove_prefix(1);
      if (left.empty()) {
        return false;
      }
    }
    left.remove_prefix(FirstCharacter(left).bytes.size());
    return !left.empty();  // the class must still be closed
  };
  while (!left.empty()) {
    const char c = left.front();
    left.remove_prefix(1);
    if (c == '\\') {
      if (left.empty()) {
        return refuse("it ends in a backslash");
      }
      left.remove_prefix(1);
    } else if (c == '[') {
      if (left.starts_with('^')) {
        left.remove_prefix(1);
      }
      bool any = false;
      while (!any || !left.starts_with(']')) {
        if (!take_member()) {
          return refuse("a class in brackets is not complete");
        }
        if (left.starts_with('-')) {
          left.remove_prefix(1);
          if (!take_member()) {
            return refuse("a range in brackets is not complete");
          }
        }
        any = true;
      }
      left.remove_prefix(1);
    }
  }
  return OkStatus();
}

namespace {

/// Takes what one element of `pattern` other than `*` says and one character of `name`. False when
/// they do not match.
bool TakeMatch(std::string_view& pattern, std::string_view& name) {
  if (pattern.empty() || name.empty()) {
    return false;
  }
  const Character character = FirstCharacter(name);
  const auto take_literal = [&pattern] {
    if (pattern.front() == '\\') {
      pattern.remove_prefix(1);
    }
    const Character literal = FirstCharacter(pattern);
    pattern.remove_prefix(literal.bytes.size());
    return literal;
  };
  if (pattern.front() == '?') {
    pattern.remove_prefix(1);
    name.remove_prefix(character.bytes.size());
    return character.code != '/';
  }
  if (pattern.front() != '[') {
    const Character literal = take_literal();
    name.remove_prefix(character.bytes.size());
    return literal.bytes == character.bytes;
  }
  pattern.remove_prefix(1);
  const bool negated = pattern.starts_with('^');
  pattern.remove_prefix(negated ? 1 : 0);
  bool matched = false;
  for (bool any = false; !any || !pattern.starts_with(']'); any = true) {
    const char32_t low = take_literal().code;
    char32_t high = low;
    if (pattern.starts_with('-')) {
      pattern.remove_prefix(1);
      high = take_literal().code;
    }
    matched = matched || (low <= character.code && character.code <= high);
  }
  pattern.remove_prefix(1);
  name.remove_prefix(character.bytes.size());
  return matched != negated;
}

}  // namespace

bool MatchesGlob(std::string_view pattern, std::string_view name) {
  // Where to go on when the latest star has to take a character more.
  std::optional<std::pair<std::string_view, std::string_view>> star;
  while (!pattern.empty() || !name.empty()) {
    if (pattern.starts_with('*')) {
      pattern.remove_prefix(1);
      star = {pattern, name};
      continue;
    }
    if (TakeMatch(pattern, name)) {
      continue;
    }
    if (!star || star->second.empty() || star->second.front() == '/') {
      return false;
    }
    star->second.remove_prefix(FirstCharacter(star->second).bytes.size());
    pattern = star->first;
    name = star->second;
  }
  return true;
}

}  // namespace starling::dockerfile::syntax
