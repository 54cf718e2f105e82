#include "dockerfile/syntax/source_lines.h"

#include <algorithm>

#include "base/status.h"
#include "base/text.h"
#include "dockerfile/syntax/characters.h"

namespace starling::dockerfile::syntax {
namespace {

constexpr std::string_view kByteOrderMark = "\xEF\xBB\xBF";

Range Whole(int line, std::string_view text) {
  return {{line, 1}, {line, static_cast<int>(text.size()) + 1}};
}

}  // namespace

Position LogicalLine::PositionOf(size_t text_offset) const {
  const auto after = std::upper_bound(
      pieces_.begin(), pieces_.end(), text_offset,
      [](size_t offset, const Piece& piece) { return offset < piece.text_offset; });
  const Piece& piece = *std::prev(after);
  return {piece.position.line,
          piece.position.column + static_cast<int>(text_offset - piece.text_offset)};
}

Range LogicalLine::Where(size_t begin, size_t end) const {
  if (begin >= end) {
    const Position at = PositionOf(std::min(begin, text_.size()));
    return {at, at};
  }
  Position last = PositionOf(end - 1);
  ++last.column;
  return {PositionOf(begin), last};
}

SourceLines::SourceLines(std::string_view text) : left_(text) {
  if (text.size() > kMaxDockerfileBytes) {
    Fail(fmt::format("the Dockerfile is larger than {} bytes", kMaxDockerfileBytes), {});
    left_ = {};
  }
  if (left_.starts_with(kByteOrderMark)) {
    left_.remove_prefix(kByteOrderMark.size());
  }
}

void SourceLines::Fail(std::string message, Range where) {
  problem_ = Problem{.message = std::move(message), .range = where, .suggestion = {}};
}

std::optional<SourceLines::Line> SourceLines::Read() {
  if (left_.empty() || problem_) {
    return std::nullopt;
  }
  const size_t end = left_.find('\n');
  Line line;
  line.with_end = left_.substr(0, end == std::string_view::npos ? end : end + 1);
  left_.remove_prefix(line.with_end.size());
  ++line_;
  line.text = line.with_end;
  while (line.text.ends_with('\n') || line.text.ends_with('\r')) {
    line.text.remove_suffix(1);
  }
  if (line.with_end.size() > kMaxLineBytes) {
    Fail(fmt::format("the line is longer than {} bytes", kMaxLineBytes), Whole(line_, {}));
    return std::nullopt;
  }
  const std::string_view trimmed = TrimSpaceLeft(line.text);
  line.indent = line.text.size() - trimmed.size();
  line.comment = trimmed.starts_with('#');
  return line;
}

bool SourceLines::ReadDirective(const Line& line) {
  const auto offset_of = [&](std::string_view part) {
    return static_cast<size_t>(part.data() - line.text.data());
  };
  const auto text_of = [&](std::string_view part) {
    const int column = static_cast<int>(offset_of(part)) + 1;
    return Text{std::string(part),
                {{line_, column}, {line_, column + static_cast<int>(part.size())}}};
  };
  const std::string_view comment = line.text.substr(line.indent + 1);
  const size_t equals = comment.find('=');
  if (equals == std::string_view::npos) {
    return false;
  }
  Directive directive{text_of(TrimUnicodeSpace(comment.substr(0, equals))),
                      text_of(TrimUnicodeSpace(comment.substr(equals + 1)))};
  directive.name.value = LowerCase(directive.name.value);
  const std::string& name = directive.name.value;
  if ((name != "syntax" && name != "escape" && name != "check") || directive.value.value.empty()) {
    return false;
  }
  for (const Directive& earlier : directives_) {
    if (earlier.name.value == name) {
      Fail(fmt::format("the directive '{}' stands here a second time", name), directive.name.range);
      return false;
    }
  }
  if (name == "escape") {
    if (directive.value.value != "\\" && directive.value.value != "`") {
      Fail(fmt::format("the escape character is \\ or `, not '{}'", directive.value.value),
           directive.value.range);
      return false;
    }
    escape_ = directive.value.value.front();
  }
  directives_.push_back(std::move(directive));
  return true;
}

bool SourceLines::CutContinuation(std::string_view& text) const {
  const size_t last = text.find_last_not_of(" \t");
  if (last == std::string_view::npos || text[last] != escape_ ||
      (last > 0 && text[last - 1] == escape_)) {
    return false;
  }
  text = text.substr(0, last);
  return true;
}

std::optional<LogicalLine> SourceLines::Next() {
  LogicalLine logical;
  while (const std::optional<Line> first = Read()) {
    if (first->comment) {
      if (!directives_done_ && ReadDirective(*first)) {
        continue;
      }
      if (problem_) {
        return std::nullopt;
      }
      directives_done_ = true;
      const std::string_view comment = TrimUnicodeSpace(first->text.substr(first->indent + 1));
      if (comment.empty()) {
        logical.comments_.clear();
        continue;
      }
      const int column = static_cast<int>(comment.data() - first->text.data()) + 1;
      logical.comments_.push_back(
          {std::string(comment),
           {{line_, column}, {line_, column + static_cast<int>(comment.size())}}});
      continue;
    }
    directives_done_ = true;
    std::string_view text = first->text.substr(first->indent);
    bool continues = CutContinuation(text);
    if (text.empty() && !continues) {
      continue;
    }
    logical.first_line_ = line_;
    logical.pieces_.push_back({0, {line_, static_cast<int>(first->indent) + 1}});
    logical.text_ = text;
    while (continues) {
      const std::optional<Line> next = Read();
      if (!next) {
        break;
      }
      if (next->comment) {
        continue;
      }
      if (next->indent == next->text.size()) {
        logical.has_empty_continuation_ = true;
        continue;
      }
      text = next->text;
      continues = CutContinuation(text);
      logical.pieces_.push_back({logical.text_.size(), {line_, 1}});
      logical.text_ += text;
    }
    if (problem_) {
      return std::nullopt;
    }
    logical.last_line_ = line_;
    return logical;
  }
  return std::nullopt;
}

bool SourceLines::ReadHeredoc(Heredoc& heredoc) {
  const int begin = line_ + 1;
  const int instruction_line = line_;
  while (const std::optional<Line> line = Read()) {
    std::string_view text = line->text;
    if (heredoc.cut_tabs) {
      text.remove_prefix(std::min(text.find_first_not_of('\t'), text.size()));
    }
    if (text == heredoc.name) {
      heredoc.range = {{begin, 1}, {line_, 1}};
      return true;
    }
    heredoc.content += line->with_end;
  }
  if (!problem_) {
    Fail(fmt::format("the heredoc's end is missing: a line with nothing but {}", heredoc.name),
         {{instruction_line, 1}, {line_ + 1, 1}});
  }
  return false;
}

}  // namespace starling::dockerfile::syntax
