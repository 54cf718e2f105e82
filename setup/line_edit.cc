#include "setup/line_edit.h"

#include "base/text.h"

namespace starling::setup {

std::vector<std::string_view> LinesOf(std::string_view text) {
  std::vector<std::string_view> lines;
  while (!text.empty()) {
    std::string_view line = TakeLine(text);
    if (line.ends_with('\r')) {
      line.remove_suffix(1);
    }
    lines.push_back(line);
  }
  return lines;
}

std::string Edited(std::string_view text, std::span<const LineEdit> edits) {
  const size_t first_end = text.find('\n');
  const bool has_returns =
      first_end != std::string_view::npos && first_end > 0 && text[first_end - 1] == '\r';
  const std::string_view line_end = has_returns ? "\r\n" : "\n";
  std::string out;
  const auto add_at = [&](size_t line, bool is_end) {
    for (const LineEdit& edit : edits) {
      if (edit.line == line || (is_end && edit.line > line)) {
        for (const std::string& added : edit.added) {
          if (!out.empty() && out.back() != '\n') {
            out += line_end;
          }
          out += added;
          out += line_end;
        }
      }
    }
  };
  size_t line = 1;
  for (; !text.empty(); ++line) {
    add_at(line, /*is_end=*/false);
    const size_t end = text.find('\n');
    const std::string_view with_end = text.substr(0, end == std::string_view::npos ? end : end + 1);
    bool goes = false;
    for (const LineEdit& edit : edits) {
      goes = goes || (line >= edit.line && line - edit.line < edit.removed);
    }
    if (!goes) {
      out += with_end;
    }
    text.remove_prefix(with_end.size());
  }
  add_at(line, /*is_end=*/true);
  return out;
}

}  // namespace starling::setup
