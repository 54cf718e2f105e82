#include "dockerfile/syntax/paths.h"

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

}  // namespace starling::dockerfile::syntax
