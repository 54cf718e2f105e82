#include "registry/link_header.h"

#include <strings.h>

namespace starling::registry {
namespace {

constexpr std::string_view kSpace = " \t";

std::string_view Trim(std::string_view text) {
  const size_t first = text.find_first_not_of(kSpace);
  return first == std::string_view::npos
             ? std::string_view()
             : text.substr(first, text.find_last_not_of(kSpace) - first + 1);
}

bool SameWord(std::string_view a, std::string_view b) {
  return a.size() == b.size() && strncasecmp(a.data(), b.data(), a.size()) == 0;
}

/// The text up to `end` outside of quotes; it and `end` are taken off `rest`.
std::string_view TakeUntil(std::string_view& rest, std::string_view ends) {
  bool quoted = false;
  size_t at = 0;
  for (; at < rest.size(); ++at) {
    if (rest[at] == '"') {
      quoted = !quoted;
    } else if (!quoted && ends.find(rest[at]) != std::string_view::npos) {
      break;
    }
  }
  const std::string_view taken = rest.substr(0, at);
  rest.remove_prefix(at);
  return taken;
}

/// Whether a parameter is rel with "next" among its relations.
bool IsNext(std::string_view parameter) {
  const size_t equals = parameter.find('=');
  if (equals == std::string_view::npos || !SameWord(Trim(parameter.substr(0, equals)), "rel")) {
    return false;
  }
  std::string_view relations = Trim(parameter.substr(equals + 1));
  if (relations.size() >= 2 && relations.front() == '"' && relations.back() == '"') {
    relations = relations.substr(1, relations.size() - 2);
  }
  while (!relations.empty()) {
    const std::string_view relation = TakeUntil(relations, kSpace);
    if (SameWord(relation, "next")) {
      return true;
    }
    relations.remove_prefix(relations.empty() ? 0 : 1);
  }
  return false;
}

}  // namespace

std::string NextLink(const std::vector<std::string_view>& values) {
  for (std::string_view rest : values) {
    while (!rest.empty()) {
      const size_t open = rest.find('<');
      const size_t close = rest.find('>', open);
      if (open == std::string_view::npos || close == std::string_view::npos) {
        break;
      }
      const std::string_view target = rest.substr(open + 1, close - open - 1);
      rest.remove_prefix(close + 1);
      bool is_next = false;
      (void)TakeUntil(rest, ";,");
      while (!rest.empty() && rest.front() == ';') {
        rest.remove_prefix(1);
        is_next |= IsNext(TakeUntil(rest, ";,"));
      }
      if (is_next) {
        return std::string(target);
      }
    }
  }
  return {};
}

}  // namespace starling::registry
