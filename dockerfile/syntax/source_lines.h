/// A Dockerfile's text as lines, and instructions that go over several of them.
#pragma once

#include <cstddef>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "dockerfile/syntax/heredoc.h"
#include "dockerfile/syntax/position.h"

namespace starling::dockerfile::syntax {

/// As BuildKit's frontend; longer lines are no text that a person wrote.
inline constexpr size_t kMaxLineBytes = 65535;
inline constexpr size_t kMaxDockerfileBytes = size_t{4} << 20U;

/// A comment `# NAME=VALUE` in front of everything else.
struct Directive {
  Text name;  // syntax, escape or check, in lower case
  Text value;
};

/// One instruction with its continuation lines joined: comments and empty lines between them are
/// gone, the escape characters at the line ends, too.
class LogicalLine {
 public:
  /// Without the line end.
  const std::string& text() const { return text_; }
  int first_line() const { return first_line_; }
  int last_line() const { return last_line_; }
  /// An empty line stood between its lines.
  bool has_empty_continuation() const { return has_empty_continuation_; }
  /// The comments before it, without `#` and blanks around; and where each stands. An empty one
  /// (`#` alone) parts them: those in front of it do not count.
  const std::vector<Text>& comments() const { return comments_; }
  /// Where the bytes from `begin` to `end` of text() stand.
  Range Where(size_t begin, size_t end) const;

 private:
  friend class SourceLines;
  struct Piece {
    size_t text_offset;
    Position position;
  };
  Position PositionOf(size_t text_offset) const;

  std::string text_;
  std::vector<Piece> pieces_;
  std::vector<Text> comments_;
  int first_line_ = 0;
  int last_line_ = 0;
  bool has_empty_continuation_ = false;
};

/// Reads the lines of a Dockerfile in order. Borrows the text.
class SourceLines {
 public:
  /// Drops a byte order mark.
  explicit SourceLines(std::string_view text);

  /// The next instruction, or nothing: the text ended, or problem() says why not.
  std::optional<LogicalLine> Next();
  /// Reads the content of `heredoc`, which begins behind the line that Next gave last. False when
  /// its end is missing; problem() says so.
  bool ReadHeredoc(Heredoc& heredoc);

  const std::optional<Problem>& problem() const { return problem_; }
  /// Those that were read so far.
  const std::vector<Directive>& directives() const { return directives_; }
  /// The escape character: a backslash, or what the directive says.
  char escape() const { return escape_; }
  /// Of the line that was read last.
  int line() const { return line_; }

 private:
  struct Line {
    std::string_view with_end;
    std::string_view text;
    size_t indent = 0;  // bytes of white space in front
    bool comment = false;
  };
  std::optional<Line> Read();
  /// False when the comment was none, and no further one is.
  bool ReadDirective(const Line& line);
  /// Whether `text` ends in one escape character; it is cut off then, with blanks behind it.
  bool CutContinuation(std::string_view& text) const;
  void Fail(std::string message, Range where);

  std::string_view left_;
  std::vector<Directive> directives_;
  std::optional<Problem> problem_;
  int line_ = 0;
  char escape_ = '\\';
  bool directives_done_ = false;
};

}  // namespace starling::dockerfile::syntax
