#include "dockerfile/syntax/statement.h"

#include <variant>

#include "base/text.h"
#include "dockerfile/syntax/characters.h"
#include "dockerfile/syntax/checked.h"
#include "dockerfile/syntax/json_strings.h"

namespace starling::dockerfile::syntax {
namespace {

constexpr std::string_view kBlanks = "\t\v\f\r ";

/// Takes apart the part of a logical line that begins at an offset.
class StatementReader {
 public:
  StatementReader(const LogicalLine& line, char escape) : line_(line), escape_(escape) {}

  /// The statement in `text`, a part of the line; or what is wrong.
  std::variant<Statement, Problem> Read(std::string_view text, int depth) {
    text = TrimUnicodeSpace(text);
    Statement statement;
    statement.source = text;
    const size_t name_end = std::min(text.find_first_of(kBlanks), text.size());
    statement.name = Part(text.substr(0, name_end));
    std::string_view rest = text.substr(name_end);
    rest.remove_prefix(std::min(rest.find_first_not_of(kBlanks), rest.size()));
    rest = TrimUnicodeSpace(ReadFlags(rest, statement.flags));
    const Status read = ReadArguments(LowerCase(statement.name.value), rest, statement, depth);
    if (problem_) {
      return *std::move(problem_);
    }
    if (!read.ok()) {
      return ProblemAt(Part(rest.empty() ? text : rest).range, std::string(MessageOf(read)));
    }
    return statement;
  }

 private:
  Text Part(std::string_view part) const {
    const auto begin = static_cast<size_t>(part.data() - line_.text().data());
    return {std::string(part), line_.Where(begin, begin + part.size())};
  }

  /// What stands behind the flags.
  std::string_view ReadFlags(std::string_view text, std::vector<Text>& flags) const {
    while (true) {
      text = TrimSpaceLeft(text);
      if (!text.starts_with("--")) {
        return text;
      }
      // Flags are escaped by a backslash, whatever the directive says.
      std::string word;
      char quote = '\0';
      size_t at = 0;
      while (at < text.size()) {
        const Character next = FirstCharacter(text.substr(at));
        if (quote == '\0' && IsSpace(next.code)) {
          break;
        }
        at += next.bytes.size();
        if (next.code == '\\') {
          if (at < text.size()) {
            const std::string_view escaped = FirstCharacter(text.substr(at)).bytes;
            word += escaped;
            at += escaped.size();
          }
        } else if (quote != '\0' && next.code == static_cast<char32_t>(quote)) {
          quote = '\0';
        } else if (quote == '\0' && (next.code == '\'' || next.code == '"')) {
          quote = static_cast<char>(next.code);
        } else {
          word += next.bytes;
        }
      }
      Text flag = Part(text.substr(0, at));
      text.remove_prefix(at);
      if (word == "--") {
        return text;
      }
      flag.value = std::move(word);
      flags.push_back(std::move(flag));
    }
  }

  /// Words at blanks outside of quotes; quotes and escapes stay.
  std::vector<Text> QuotedWords(std::string_view text) const {
    std::vector<Text> words;
    while (true) {
      text = TrimSpaceLeft(text);
      if (text.empty()) {
        return words;
      }
      std::string word;
      char quote = '\0';
      size_t at = 0;
      while (at < text.size()) {
        const Character next = FirstCharacter(text.substr(at));
        if (quote == '\0' && IsSpace(next.code)) {
          break;
        }
        at += next.bytes.size();
        if (next.code == static_cast<unsigned char>(escape_) && quote != '\'') {
          if (at == text.size()) {
            break;  // an escape at the very end protects nothing
          }
          const std::string_view escaped = FirstCharacter(text.substr(at)).bytes;
          at += escaped.size();
          word += next.bytes;
          word += escaped;
          continue;
        }
        if (quote != '\0') {
          quote = next.code == static_cast<char32_t>(quote) ? '\0' : quote;
        } else if (next.code == '\'' || next.code == '"') {
          quote = static_cast<char>(next.code);
        }
        word += next.bytes;
      }
      Text found = Part(text.substr(0, at));
      found.value = std::move(word);
      if (!found.value.empty()) {
        words.push_back(std::move(found));
      }
      text.remove_prefix(at);
    }
  }

  std::vector<Text> PlainWords(std::string_view text) const {
    std::vector<Text> words;
    while (!text.empty()) {
      const size_t end = std::min(text.find_first_of(kBlanks), text.size());
      words.push_back(Part(text.substr(0, end)));
      text.remove_prefix(end);
      text.remove_prefix(std::min(text.find_first_not_of(kBlanks), text.size()));
    }
    return words;
  }

  /// True when `text` is a JSON array, whose members are the arguments then.
  StatusOr<bool> ReadJson(std::string_view text, Statement& statement) const {
    ASSIGN_OR_RETURN(auto strings, ParseJsonStrings(text));
    if (!strings) {
      return false;
    }
    statement.json = true;
    for (std::string& member : *strings) {
      statement.arguments.push_back({std::move(member), Part(text).range});
    }
    return true;
  }

  Status ReadCommand(std::string_view text, Statement& statement) const {
    ASSIGN_OR_RETURN(const bool json, ReadJson(text, statement));
    if (!json && !text.empty()) {
      statement.arguments.push_back(Part(text));
    }
    return OkStatus();
  }

  Status ReadEntries(std::string_view text, std::string_view name, Statement& statement) {
    const std::vector<Text> words = QuotedWords(text);
    if (words.empty()) {
      return OkStatus();
    }
    if (words.front().value.find('=') == std::string::npos) {
      const size_t end = text.find_first_of(kBlanks);
      if (end == std::string_view::npos) {
        return MakeError(
            StatusCode::kInvalidArgument,
            fmt::format("{} needs a value for {}: {} {}=VALUE", name, text, name, text));
      }
      std::string_view value = text.substr(end);
      value.remove_prefix(std::min(value.find_first_not_of(kBlanks), value.size()));
      statement.arguments = {Part(text.substr(0, end)), Part(value), Part(text.substr(0, 0))};
      return OkStatus();
    }
    for (const Text& word : words) {
      const size_t equals = word.value.find('=');
      if (equals == std::string::npos) {
        problem_ = ProblemAt(
            word.range,
            fmt::format("{}: '{}' has no '='; a value with blanks needs quotes", name, word.value));
        return OkStatus();
      }
      statement.arguments.push_back({word.value.substr(0, equals), word.range});
      statement.arguments.push_back({word.value.substr(equals + 1), word.range});
      statement.arguments.push_back({"=", word.range});
    }
    return OkStatus();
  }

  Status ReadArguments(const std::string& name, std::string_view rest, Statement& statement,
                       int depth) {
    if (name == "run" || name == "cmd" || name == "entrypoint" || name == "shell") {
      return ReadCommand(rest, statement);
    }
    if (name == "copy" || name == "add" || name == "volume") {
      ASSIGN_OR_RETURN(const bool json, ReadJson(rest, statement));
      if (!json) {
        statement.arguments = PlainWords(rest);
      }
    } else if (name == "from" || name == "expose") {
      statement.arguments = PlainWords(rest);
    } else if (name == "arg") {
      statement.arguments = QuotedWords(rest);
    } else if (name == "env") {
      return ReadEntries(rest, "ENV", statement);
    } else if (name == "label") {
      return ReadEntries(rest, "LABEL", statement);
    } else if (name == "healthcheck") {
      const size_t end = std::min(rest.find_first_of(" \t\n\v\f\r"), rest.size());
      if (end > 0) {
        statement.arguments.push_back(Part(rest.substr(0, end)));
        return ReadCommand(TrimSpaceLeft(rest.substr(end)), statement);
      }
    } else if (name == "onbuild") {
      if (!rest.empty() && depth < kMaxTriggerDepth) {
        auto trigger = Read(rest, depth + 1);
        if (auto* problem = std::get_if<Problem>(&trigger)) {
          problem_ = std::move(*problem);
          return OkStatus();
        }
        statement.trigger = std::make_unique<Statement>(std::move(std::get<Statement>(trigger)));
      }
    } else if (!rest.empty()) {
      // MAINTAINER, STOPSIGNAL, USER, WORKDIR: the rest of the line. The unknown are refused later.
      statement.arguments.push_back(Part(rest));
    }
    return OkStatus();
  }

  const LogicalLine& line_;
  const char escape_;
  /// What is wrong at a place of its own, and not with all of the arguments.
  std::optional<Problem> problem_;
};

/// Of a statement's own command, or of what it triggers.
bool MayHaveHeredocs(const Statement& statement) {
  const Statement& command = statement.trigger ? *statement.trigger : statement;
  const std::string name = LowerCase(command.name.value);
  return (name == "run" || name == "copy" || name == "add") && !command.json;
}

}  // namespace

Statements ParseStatements(std::string_view text) {
  Statements result;
  SourceLines lines(text);
  while (const std::optional<LogicalLine> line = lines.Next()) {
    auto read = StatementReader(*line, lines.escape()).Read(line->text(), 0);
    if (auto* problem = std::get_if<Problem>(&read)) {
      result.problem = std::move(*problem);
      break;
    }
    auto& statement = std::get<Statement>(read);
    if (MayHaveHeredocs(statement) && line->text().find("<<") != std::string::npos) {
      for (Heredoc& heredoc : FindHeredocs(line->text())) {
        if (!lines.ReadHeredoc(heredoc)) {
          break;
        }
        statement.heredocs.push_back(std::move(heredoc));
      }
      if (lines.problem()) {
        break;
      }
      if (statement.trigger) {
        statement.trigger->heredocs = statement.heredocs;
      }
    }
    statement.comments = line->comments();
    statement.has_empty_continuation = line->has_empty_continuation();
    statement.range = line->Where(0, line->text().size());
    if (lines.line() > statement.range.end.line) {
      statement.range.end = {lines.line() + 1, 1};
    }
    result.statements.push_back(std::move(statement));
  }
  if (lines.problem()) {
    result.problem = lines.problem();
  }
  result.directives = lines.directives();
  result.escape = lines.escape();
  if (result.statements.empty() && !result.problem) {
    result.problem =
        ProblemAt({{lines.line(), 1}, {lines.line(), 1}}, "the Dockerfile has no instructions");
  }
  return result;
}

}  // namespace starling::dockerfile::syntax
