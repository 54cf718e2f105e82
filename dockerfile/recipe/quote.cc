#include "dockerfile/recipe/quote.h"

#include <algorithm>

namespace starling::dockerfile::recipe {
namespace {

bool IsPlain(char c) {
  return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') ||
         std::string_view("_./:@%+=,-").find(c) != std::string_view::npos;
}

}  // namespace

std::string QuoteWord(std::string_view value) {
  if (!value.empty() && std::all_of(value.begin(), value.end(), IsPlain)) {
    return std::string(value);
  }
  // Nothing has a meaning in single quotes but the next one, which is written in double quotes: a
  // backslash would depend on the Dockerfile's escape character.
  std::string word = "'";
  for (const char c : value) {
    if (c == '\'') {
      word += "'\"'\"'";
    } else {
      word += c;
    }
  }
  return word + "'";
}

std::string QuoteFlagValue(std::string_view value) {
  std::string word;
  for (const char c : value) {
    if (std::string_view("\\'\" \t").find(c) != std::string_view::npos) {
      word += '\\';
    }
    word += c;
  }
  return word;
}

std::string QuoteGlob(std::string_view path) {
  std::string pattern;
  for (const char c : path) {
    if (std::string_view("\\*?[").find(c) != std::string_view::npos) {
      pattern += '\\';
    }
    pattern += c;
  }
  return pattern;
}

}  // namespace starling::dockerfile::recipe
