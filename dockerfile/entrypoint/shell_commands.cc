#include "dockerfile/entrypoint/shell_commands.h"

#include <algorithm>
#include <array>

namespace starling::dockerfile::entrypoint {
namespace {

constexpr size_t kMaxDepth = 200;

bool IsNameStart(char c) { return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || c == '_'; }
bool IsNameCharacter(char c) { return IsNameStart(c) || (c >= '0' && c <= '9'); }

/// NAME=.., NAME+=.. or NAME[..]=..
bool IsAssignment(std::string_view raw) {
  const auto* end = std::find_if_not(raw.begin(), raw.end(), IsNameCharacter);
  if (raw.empty() || end == raw.begin() || !IsNameStart(raw.front())) {
    return false;
  }
  std::string_view rest = raw.substr(static_cast<size_t>(end - raw.begin()));
  if (rest.starts_with('[')) {
    const size_t close = rest.find(']');
    if (close == std::string_view::npos) {
      return false;
    }
    rest.remove_prefix(close + 1);
  }
  return rest.starts_with('=') || rest.starts_with("+=");
}

struct Token {
  enum class Kind { kEnd, kWord, kNewline, kOperator };
  Kind kind = Kind::kEnd;
  Word word;
  /// As it is written; of operators, the operator.
  std::string_view raw;
  bool is_quoted = false;
  int line = 1;
};

/// Cuts a script into words and operators. Redirections are skipped, with their words and the texts
/// of here-documents.
class Lexer {
 public:
  explicit Lexer(std::string_view text) : text_(text) {}

  StatusOr<Token> Next() {
    while (true) {
      SkipBlanks();
      Token token{.line = line_};
      if (at_ >= text_.size()) {
        return token;
      }
      const size_t begin = at_;
      if (text_[at_] == '\n') {
        token.kind = Token::Kind::kNewline;
        ++at_;
        ++line_;
        RETURN_IF_ERROR(SkipHereDocuments());
        token.raw = text_.substr(begin, 1);
        return token;
      }
      if (SkipDescriptor() || IsRedirection()) {
        RETURN_IF_ERROR(SkipRedirection());
        continue;
      }
      static constexpr std::array<std::string_view, 11> kOperators = {
          ";;&", ";;", ";&", "&&", "||", "|&", "|", "&", ";", "(", ")"};
      for (const std::string_view candidate : kOperators) {
        if (text_.substr(at_).starts_with(candidate)) {
          token.kind = Token::Kind::kOperator;
          token.raw = candidate;
          at_ += candidate.size();
          return token;
        }
      }
      return ReadWord();
    }
  }

  /// Skips `((..))` of which the first parenthesis was read; false when this is none.
  bool SkipArithmetic() {
    if (at_ >= text_.size() || text_[at_] != '(') {
      return false;
    }
    const size_t end = text_.find("))", at_);
    if (end == std::string_view::npos) {
      return false;
    }
    line_ += static_cast<int>(std::count(text_.begin() + static_cast<ptrdiff_t>(at_),
                                         text_.begin() + static_cast<ptrdiff_t>(end), '\n'));
    at_ = end + 2;
    return true;
  }

 private:
  struct HereDocument {
    std::string delimiter;
    bool strips_tabs = false;
    int line = 1;
  };

  Status Unreadable(int line, std::string_view why) const {
    return MakeError(StatusCode::kInvalidArgument, fmt::format("line {}: {}", line, why));
  }

  void SkipBlanks() {
    while (at_ < text_.size()) {
      const char c = text_[at_];
      if (c == ' ' || c == '\t' || c == '\r') {
        ++at_;
      } else if (c == '\\' && at_ + 1 < text_.size() && text_[at_ + 1] == '\n') {
        at_ += 2;
        ++line_;
      } else if (c == '#') {
        at_ = std::min(text_.find('\n', at_), text_.size());
      } else {
        return;
      }
    }
  }

  bool IsRedirection() const {
    const std::string_view rest = text_.substr(at_);
    // <(..) and >(..) are words.
    return rest.starts_with("&>") ||
           ((rest.starts_with('<') || rest.starts_with('>')) && rest.substr(1, 1) != "(");
  }

  /// The number in front of a redirection.
  bool SkipDescriptor() {
    size_t end = at_;
    while (end < text_.size() && text_[end] >= '0' && text_[end] <= '9') {
      ++end;
    }
    if (end == at_ || end >= text_.size() || (text_[end] != '<' && text_[end] != '>')) {
      return false;
    }
    at_ = end;
    return true;
  }

  Status SkipRedirection() {
    static constexpr std::array<std::string_view, 10> kRedirections = {
        "<<<", "<<-", "<<", "<&", "<>", ">>", ">&", ">|", "&>>", "&>"};
    std::string_view redirection = text_.substr(at_, 1);
    for (const std::string_view candidate : kRedirections) {
      if (text_.substr(at_).starts_with(candidate)) {
        redirection = candidate;
        break;
      }
    }
    at_ += redirection.size();
    while (at_ < text_.size() && (text_[at_] == ' ' || text_[at_] == '\t')) {
      ++at_;
    }
    const int line = line_;
    const size_t begin = at_;
    ASSIGN_OR_RETURN(const Token target, ReadWord());
    if (at_ == begin) {
      return Unreadable(line, "a redirection leads nowhere");
    }
    if (redirection == "<<" || redirection == "<<-") {
      // Quotes around the delimiter say how the text is read, and are no part of it.
      std::string delimiter(target.word.text);
      std::erase_if(delimiter, [](char c) { return c == '"' || c == '\'' || c == '\\'; });
      here_documents_.push_back(
          {.delimiter = std::move(delimiter), .strips_tabs = redirection == "<<-", .line = line});
    }
    return OkStatus();
  }

  Status SkipHereDocuments() {
    for (const HereDocument& document : here_documents_) {
      while (true) {
        if (at_ >= text_.size()) {
          return Unreadable(document.line, "a here-document has no end");
        }
        const size_t end = std::min(text_.find('\n', at_), text_.size());
        std::string_view line = text_.substr(at_, end - at_);
        while (document.strips_tabs && line.starts_with('\t')) {
          line.remove_prefix(1);
        }
        at_ = std::min(end + 1, text_.size());
        ++line_;
        if (line == document.delimiter) {
          break;
        }
      }
    }
    here_documents_.clear();
    return OkStatus();
  }

  StatusOr<Token> ReadWord() {
    Token token{.kind = Token::Kind::kWord, .line = line_};
    const size_t begin = at_;
    std::string value;
    bool expands = false;
    while (at_ < text_.size()) {
      const char c = text_[at_];
      if (c == '\\') {
        if (at_ + 1 < text_.size()) {
          line_ += text_[at_ + 1] == '\n' ? 1 : 0;
          value += text_[at_ + 1] == '\n' ? "" : std::string(1, text_[at_ + 1]);
        }
        at_ = std::min(at_ + 2, text_.size());
        token.is_quoted = true;
      } else if (c == '\'') {
        ASSIGN_OR_RETURN(const std::string_view quoted, ReadSingleQuotes());
        value += quoted;
        token.is_quoted = true;
      } else if (c == '"') {
        ASSIGN_OR_RETURN(const bool expanded, ReadDoubleQuotes(value));
        expands = expands || expanded;
        token.is_quoted = true;
      } else if (c == '$' || c == '`') {
        RETURN_IF_ERROR(SkipExpansion(0));
        expands = true;
      } else if ((c == '<' || c == '>') && at_ + 1 < text_.size() && text_[at_ + 1] == '(' &&
                 at_ == begin) {
        ++at_;
        RETURN_IF_ERROR(SkipParentheses(0));
        expands = true;
      } else if (std::string_view(" \t\r\n;&|()<>").find(c) != std::string_view::npos) {
        break;
      } else {
        expands = expands || c == '*' || c == '?' || (c == '~' && at_ == begin);
        value += c;
        ++at_;
      }
    }
    token.raw = text_.substr(begin, at_ - begin);
    token.word = {.kind = KindOf(token.raw, expands),
                  .text = expands ? std::string(token.raw) : std::move(value)};
    return token;
  }

  static Word::Kind KindOf(std::string_view raw, bool expands) {
    if (!expands) {
      return Word::Kind::kText;
    }
    if (raw == "\"$@\"" || raw == "\"${@}\"" || raw == "${1+\"$@\"}" || raw == "${@+\"$@\"}") {
      return Word::Kind::kArguments;
    }
    if (raw == "$@" || raw == "$*" || raw == "${@}" || raw == "${*}") {
      return Word::Kind::kSplitArguments;
    }
    const bool has_all =
        raw.find("$@") != std::string_view::npos || raw.find("$*") != std::string_view::npos ||
        raw.find("${@") != std::string_view::npos || raw.find("${*") != std::string_view::npos;
    return has_all ? Word::Kind::kJoined : Word::Kind::kUnknown;
  }

  StatusOr<std::string_view> ReadSingleQuotes() {
    const size_t end = text_.find('\'', at_ + 1);
    if (end == std::string_view::npos) {
      return Unreadable(line_, "a quote is not closed");
    }
    const std::string_view quoted = text_.substr(at_ + 1, end - at_ - 1);
    line_ += static_cast<int>(std::count(quoted.begin(), quoted.end(), '\n'));
    at_ = end + 1;
    return quoted;
  }

  /// Whether something is expanded in it.
  StatusOr<bool> ReadDoubleQuotes(std::string& value, size_t depth = 0) {
    if (depth > kMaxDepth) {
      return MakeError(StatusCode::kResourceExhausted, "it is nested too deep");
    }
    const int line = line_;
    bool expands = false;
    ++at_;
    while (at_ < text_.size() && text_[at_] != '"') {
      const char c = text_[at_];
      if (c == '\\' && at_ + 1 < text_.size()) {
        const char next = text_[at_ + 1];
        line_ += next == '\n' ? 1 : 0;
        if (std::string_view("$`\"\\\n").find(next) == std::string_view::npos) {
          value += c;
        }
        value += next == '\n' ? "" : std::string(1, next);
        at_ += 2;
      } else if (c == '$' || c == '`') {
        RETURN_IF_ERROR(SkipExpansion(depth + 1));
        expands = true;
      } else {
        line_ += c == '\n' ? 1 : 0;
        value += c;
        ++at_;
      }
    }
    if (at_ >= text_.size()) {
      return Unreadable(line, "a quote is not closed");
    }
    ++at_;
    return expands;
  }

  /// $NAME, ${..}, $(..), $((..)) or `..`, from its first character on.
  Status SkipExpansion(size_t depth) {
    if (depth > kMaxDepth) {
      return MakeError(StatusCode::kResourceExhausted, "it is nested too deep");
    }
    const int line = line_;
    if (text_[at_] == '`') {
      for (++at_; at_ < text_.size() && text_[at_] != '`'; ++at_) {
        at_ += text_[at_] == '\\' ? 1 : 0;
        line_ += at_ < text_.size() && text_[at_] == '\n' ? 1 : 0;
      }
      if (at_ >= text_.size()) {
        return Unreadable(line, "a ` is not closed");
      }
      ++at_;
      return OkStatus();
    }
    ++at_;
    if (at_ >= text_.size()) {
      return OkStatus();
    }
    const char c = text_[at_];
    if (c == '{') {
      return SkipBraces(depth + 1);
    }
    if (c == '(') {
      return SkipParentheses(depth + 1);
    }
    if (c == '\'') {
      // $'..' has no expansion, but for our purposes nothing is known of it.
      return ReadSingleQuotes().status();
    }
    if (IsNameStart(c)) {
      while (at_ < text_.size() && IsNameCharacter(text_[at_])) {
        ++at_;
      }
    } else if (std::string_view("@*#?-$!0123456789").find(c) != std::string_view::npos) {
      ++at_;
    }
    return OkStatus();
  }

  /// From `(` on to the parenthesis that closes it.
  Status SkipParentheses(size_t depth) { return SkipBracketed('(', ')', depth); }
  Status SkipBraces(size_t depth) { return SkipBracketed('{', '}', depth); }

  Status SkipBracketed(char open, char close, size_t depth) {
    if (depth > kMaxDepth) {
      return MakeError(StatusCode::kResourceExhausted, "it is nested too deep");
    }
    const int line = line_;
    size_t nested = 0;
    std::string ignored;
    while (at_ < text_.size()) {
      const char c = text_[at_];
      if (c == '\'' && open == '(') {
        RETURN_IF_ERROR(ReadSingleQuotes().status());
      } else if (c == '"') {
        RETURN_IF_ERROR(ReadDoubleQuotes(ignored, depth + 1).status());
        ignored.clear();
      } else if (c == '\\') {
        line_ += at_ + 1 < text_.size() && text_[at_ + 1] == '\n' ? 1 : 0;
        at_ = std::min(at_ + 2, text_.size());
      } else if (c == '$' || c == '`') {
        RETURN_IF_ERROR(SkipExpansion(depth + 1));
      } else {
        nested += c == open ? 1 : 0;
        line_ += c == '\n' ? 1 : 0;
        ++at_;
        if (c == close && --nested == 0) {
          return OkStatus();
        }
      }
    }
    return Unreadable(line, fmt::format("a {} is not closed", open));
  }

  const std::string_view text_;
  size_t at_ = 0;
  int line_ = 1;
  std::vector<HereDocument> here_documents_;
};

/// Puts words together to commands, and knows what they stand in.
class Parser {
 public:
  explicit Parser(std::string_view text) : lexer_(text) {}

  StatusOr<std::vector<Command>> Parse() {
    while (true) {
      ASSIGN_OR_RETURN(const Token token, lexer_.Next());
      if (token.kind == Token::Kind::kEnd) {
        break;
      }
      if (token.kind == Token::Kind::kWord) {
        RETURN_IF_ERROR(TakeWord(token));
      } else {
        RETURN_IF_ERROR(TakeOperator(token));
      }
      if (blocks_.size() > kMaxDepth) {
        return MakeError(StatusCode::kResourceExhausted, "it is nested too deep");
      }
    }
    EndCommand();
    if (!blocks_.empty()) {
      return MakeError(
          StatusCode::kInvalidArgument,
          fmt::format("line {}: \"{}\" has no end", blocks_.back().line, blocks_.back().opened_by));
    }
    return std::move(commands_);
  }

 private:
  struct Block {
    std::string opened_by;
    std::string function;  // not empty: its body
    int line = 1;
    bool is_conditional = false;
    bool in_subshell = false;
    size_t first_command = 0;
  };

  bool AtCommandStart() const { return words_.empty() && !has_assignment_; }

  Status TakeWord(const Token& token) {
    const bool plain = !token.is_quoted && token.word.kind == Word::Kind::kText;
    const std::string_view raw = token.raw;
    if (case_state_ == CaseState::kSubject && plain && raw == "in") {
      case_state_ = CaseState::kPattern;
      return OkStatus();
    }
    if (case_state_ == CaseState::kPattern && !(plain && raw == "esac")) {
      return OkStatus();
    }
    if (skip_to_ != nullptr) {
      if (plain && raw == skip_to_) {
        skip_to_ = nullptr;
      }
      return OkStatus();
    }
    if (case_state_ == CaseState::kSubject) {
      return OkStatus();
    }
    if (in_for_) {
      // for NAME in WORDS: no command. Behind NAME alone, `do` may follow at once.
      if (plain && raw == "do" && (!for_on_line_ || for_words_ == 1)) {
        in_for_ = false;
      }
      ++for_words_;
      return OkStatus();
    }
    if (AtCommandStart() && plain && TakeKeyword(token)) {
      return keyword_status_;
    }
    if (is_function_name_) {
      pending_function_ = std::string(raw);
      is_function_name_ = false;
      after_function_keyword_ = true;
      return OkStatus();
    }
    if (words_.empty()) {
      line_ = token.line;
      if (IsAssignment(raw)) {
        has_assignment_ = true;
        return OkStatus();
      }
    }
    words_.push_back(token.word);
    return OkStatus();
  }

  /// Whether the word is one of the grammar, at the start of a command.
  bool TakeKeyword(const Token& token) {
    const std::string_view raw = token.raw;
    keyword_status_ = OkStatus();
    if (raw == "if" || raw == "while" || raw == "until") {
      Open(token, /*is_conditional=*/true, /*in_subshell=*/false);
    } else if (raw == "for" || raw == "select") {
      Open(token, true, false);
      in_for_ = true;
      for_on_line_ = true;
      for_words_ = 0;
    } else if (raw == "case") {
      Open(token, true, false);
      case_depths_.push_back(blocks_.size());
      case_state_ = CaseState::kSubject;
    } else if (raw == "{") {
      after_function_keyword_ = false;
      Open(token, false, false);
      blocks_.back().function = std::exchange(pending_function_, "");
    } else if (raw == "then" || raw == "do" || raw == "else" || raw == "elif") {
      after_list_operator_ = false;
      if (blocks_.empty()) {
        keyword_status_ = Stray(token);
      }
    } else if (raw == "fi") {
      Close(token, {"if"});
    } else if (raw == "done") {
      Close(token, {"while", "until", "for", "select"});
    } else if (raw == "esac") {
      Close(token, {"case"});
      if (!case_depths_.empty()) {
        case_depths_.pop_back();
      }
      case_state_ = CaseState::kNone;
    } else if (raw == "}") {
      Close(token, {"{"});
    } else if (raw == "function") {
      is_function_name_ = true;
    } else if (raw == "[[") {
      skip_to_ = "]]";
      // A command, but one of which nothing matters.
      has_assignment_ = true;
    } else {
      return raw == "!" || raw == "time";
    }
    return true;
  }

  void Open(const Token& token, bool is_conditional, bool in_subshell) {
    blocks_.push_back({.opened_by = std::string(token.raw),
                       .function = {},
                       .line = token.line,
                       .is_conditional = is_conditional || after_list_operator_,
                       .in_subshell = in_subshell || in_pipeline_,
                       .first_command = commands_.size()});
    after_list_operator_ = false;
    in_pipeline_ = false;
  }

  void Close(const Token& token, std::initializer_list<std::string_view> opened_by) {
    if (blocks_.empty() || std::find(opened_by.begin(), opened_by.end(),
                                     blocks_.back().opened_by) == opened_by.end()) {
      keyword_status_ = Stray(token);
      return;
    }
    list_begin_ = std::min(list_begin_, blocks_.back().first_command);
    pipeline_begin_ = blocks_.back().first_command;
    blocks_.pop_back();
    // Redirections may follow, and then an operator or what ends the block around it.
    after_block_ = true;
  }

  Status Stray(const Token& token) const {
    return MakeError(StatusCode::kInvalidArgument,
                     fmt::format("line {}: \"{}\" has no beginning", token.line, token.raw));
  }

  Status TakeOperator(const Token& token) {
    const std::string_view raw = token.raw;
    if (case_state_ == CaseState::kPattern) {
      if (raw == ")") {
        case_state_ = CaseState::kNone;
      }
      return OkStatus();
    }
    if (case_state_ == CaseState::kSubject) {
      return OkStatus();
    }
    if (skip_to_ != nullptr) {
      return OkStatus();
    }
    if (in_for_) {
      if (raw == "(" && lexer_.SkipArithmetic()) {
        return OkStatus();
      }
      // The list of words ends; `do` follows.
      for_on_line_ = for_on_line_ && raw != ";" && token.kind != Token::Kind::kNewline;
      return OkStatus();
    }
    if (raw == "(") {
      return TakeParenthesis(token);
    }
    if (raw == ")") {
      EndCommand();
      EndList();
      keyword_status_ = OkStatus();
      Close(token, {"("});
      return keyword_status_;
    }
    const bool ended_a_command = EndCommand();
    if (token.kind == Token::Kind::kNewline && !ended_a_command) {
      // A list goes on after && or | at the end of a line.
      return OkStatus();
    }
    if (raw == "|" || raw == "|&") {
      MarkSubshell(pipeline_begin_);
      in_pipeline_ = true;
      return OkStatus();
    }
    in_pipeline_ = false;
    pipeline_begin_ = commands_.size();
    if (raw == "&&" || raw == "||") {
      after_list_operator_ = true;
    } else if (raw == "&") {
      MarkSubshell(list_begin_);
      EndList();
    } else {
      EndList();
      if (raw.starts_with(";;") || raw == ";&") {
        if (case_depths_.empty() || case_depths_.back() != blocks_.size()) {
          return Stray(token);
        }
        case_state_ = CaseState::kPattern;
      }
    }
    return OkStatus();
  }

  Status TakeParenthesis(const Token& token) {
    if (std::exchange(after_function_keyword_, false)) {
      // function NAME ()
      ASSIGN_OR_RETURN(const Token close, lexer_.Next());
      return close.raw == ")" ? OkStatus() : Stray(token);
    }
    if (words_.size() == 1 && !has_assignment_ && words_[0].kind == Word::Kind::kText) {
      pending_function_ = words_[0].text;
      words_.clear();
      ASSIGN_OR_RETURN(const Token close, lexer_.Next());
      return close.raw == ")" ? OkStatus() : Stray(token);
    }
    if (has_assignment_ || (words_.size() > 1 && words_.back().text.ends_with('='))) {
      // NAME=(..), declare NAME=(..): an array's words, which are commands to nobody.
      return SkipArray(token);
    }
    if (!words_.empty()) {
      return Stray(token);
    }
    if (lexer_.SkipArithmetic()) {
      has_assignment_ = true;
      return OkStatus();
    }
    Open(token, false, true);
    blocks_.back().function = std::exchange(pending_function_, "");
    return OkStatus();
  }

  Status SkipArray(const Token& opened) {
    while (true) {
      ASSIGN_OR_RETURN(const Token token, lexer_.Next());
      if (token.kind == Token::Kind::kEnd) {
        return Stray(opened);
      }
      if (token.raw == ")" && token.kind == Token::Kind::kOperator) {
        return OkStatus();
      }
    }
  }

  /// Whether there was one.
  bool EndCommand() {
    const bool is_command = !words_.empty() || has_assignment_ || after_block_;
    if (!words_.empty()) {
      Command command{.words = std::move(words_), .line = line_};
      command.is_conditional = after_list_operator_;
      command.in_subshell = in_pipeline_;
      for (auto block = blocks_.rbegin(); block != blocks_.rend(); ++block) {
        if (!block->function.empty()) {
          command.in_subshell = command.in_subshell || block->in_subshell;
          command.function = block->function;
          break;
        }
        command.is_conditional = command.is_conditional || block->is_conditional;
        command.in_subshell = command.in_subshell || block->in_subshell;
      }
      commands_.push_back(std::move(command));
    }
    words_.clear();
    has_assignment_ = false;
    after_block_ = false;
    return is_command;
  }

  void EndList() {
    after_list_operator_ = false;
    in_pipeline_ = false;
    list_begin_ = commands_.size();
    pipeline_begin_ = commands_.size();
  }

  void MarkSubshell(size_t begin) {
    for (size_t i = begin; i < commands_.size(); ++i) {
      commands_[i].in_subshell = true;
    }
  }

  enum class CaseState { kNone, kSubject, kPattern };

  Lexer lexer_;
  std::vector<Command> commands_;
  std::vector<Block> blocks_;
  std::vector<size_t> case_depths_;
  std::vector<Word> words_;
  int line_ = 1;
  bool has_assignment_ = false;
  bool after_block_ = false;
  bool after_list_operator_ = false;
  bool in_pipeline_ = false;
  bool in_for_ = false;
  bool for_on_line_ = false;
  size_t for_words_ = 0;
  bool is_function_name_ = false;
  bool after_function_keyword_ = false;
  const char* skip_to_ = nullptr;
  CaseState case_state_ = CaseState::kNone;
  std::string pending_function_;
  size_t list_begin_ = 0;
  size_t pipeline_begin_ = 0;
  Status keyword_status_ = OkStatus();
};

}  // namespace

StatusOr<std::vector<Command>> CommandsOf(std::string_view script) {
  if (script.size() > kMaxScriptBytes) {
    return MakeError(
        StatusCode::kResourceExhausted,
        fmt::format("it has {} bytes, at most {} are read", script.size(), kMaxScriptBytes));
  }
  return Parser(script).Parse();
}

}  // namespace starling::dockerfile::entrypoint
