#include "dockerfile/syntax/excerpt.h"

#include <fmt/format.h>

#include <algorithm>

#include "dockerfile/syntax/characters.h"

namespace starling::dockerfile::syntax {
namespace {

constexpr size_t kMaxCharacters = 160;

std::string_view LineAt(std::string_view source, int number) {
  for (int line = 1; line < number; ++line) {
    const size_t end = source.find('\n');
    if (end == std::string_view::npos) {
      return {};
    }
    source.remove_prefix(end + 1);
  }
  source = source.substr(0, source.find('\n'));
  return source.ends_with('\r') ? source.substr(0, source.size() - 1) : source;
}

}  // namespace

std::string Excerpt(std::string_view source, const Range& range) {
  if (range.begin.line < 1) {
    return {};
  }
  const std::string_view line = LineAt(source, range.begin.line);
  const auto begin = static_cast<size_t>(std::max(range.begin.column - 1, 0));
  // What goes over several lines is marked to the end of the first.
  const size_t end = range.end.line > range.begin.line
                         ? line.size()
                         : static_cast<size_t>(std::max(range.end.column - 1, 0));
  std::string shown;
  std::string mark;
  size_t offset = 0;
  for (size_t characters = 0; offset < line.size() && characters < kMaxCharacters; ++characters) {
    const Character next = FirstCharacter(line.substr(offset));
    const bool control = next.code < 0x20 || (next.code >= 0x7F && next.code < 0xA0);
    if (next.code == kNoCharacter) {
      shown += "\xEF\xBF\xBD";
    } else if (control) {
      shown += next.code == '\t' ? ' ' : '?';
    } else {
      shown += next.bytes;
    }
    mark += offset < begin ? ' ' : offset == begin ? '^' : offset < end ? '~' : ' ';
    offset += next.bytes.size();
  }
  if (offset < line.size()) {
    shown += "...";
  } else if (begin >= line.size()) {
    mark += '^';
  }
  mark.erase(mark.find_last_not_of(' ') + 1);
  const std::string number = fmt::format("{:5}", range.begin.line);
  return fmt::format("{} | {}\n{:5} | {}\n", number, shown, "", mark);
}

}  // namespace starling::dockerfile::syntax
