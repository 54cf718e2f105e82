#include "dockerfile/entrypoint/shell_script.h"

#include <algorithm>
#include <charconv>
#include <map>
#include <optional>

namespace starling::dockerfile::entrypoint {
namespace {

constexpr int kMaxCallDepth = 16;
/// Functions that call functions are followed so far.
constexpr size_t kMaxFollowedCommands = 100'000;

bool IsText(const Word& word, std::string_view text) {
  return word.kind == Word::Kind::kText && word.text == text;
}

std::string Text(const std::vector<Word>& words) {
  constexpr size_t kMaxShown = 80;
  std::string text;
  for (const Word& word : words) {
    text += text.empty() ? "" : " ";
    text += word.kind == Word::Kind::kText && word.text.empty() ? "''" : word.text;
  }
  for (char& c : text) {
    c = static_cast<unsigned char>(c) < 0x20 || c == 0x7F ? ' ' : c;
  }
  return text.size() > kMaxShown ? text.substr(0, kMaxShown) + ".." : text;
}

/// Follows a script from its first command on.
class Walk {
 public:
  explicit Walk(const std::vector<Command>& commands) {
    for (const Command& command : commands) {
      functions_[command.function].push_back(&command);
    }
  }

  ScriptEnd End(std::vector<Word> first_arguments) {
    if (auto end = Follow("", {.first = std::move(first_arguments)}, 0)) {
      return *std::move(end);
    }
    if (conditional_line_ != 0) {
      return Unknown(conditional_line_,
                     "its arguments are executed under a condition, which the text does not tell");
    }
    if (elsewhere_line_ != 0) {
      return Unknown(elsewhere_line_, elsewhere_);
    }
    if (child_line_ != 0) {
      return {Verdict::kDoesNot,
              fmt::format("line {}: it starts its arguments as another process, which gets no "
                          "signals; write exec \"$@\"",
                          child_line_),
              {}};
    }
    return {Verdict::kDoesNot, "nothing in it executes its arguments; end it with exec \"$@\"", {}};
  }

 private:
  /// What "$@" is at some place.
  struct Arguments {
    std::vector<Word> first;
    /// Whether those follow that nobody knows yet.
    bool has_rest = true;
  };

  static ScriptEnd Unknown(int line, const std::string& why) {
    return {Verdict::kCannotTell, fmt::format("line {}: {}", line, why), {}};
  }

  /// How the commands of a function end the script; nothing when what follows it is reached.
  std::optional<ScriptEnd> Follow(const std::string& function, Arguments arguments, int depth) {
    for (const Command* command : functions_[function]) {
      if (++followed_ > kMaxFollowedCommands || depth > kMaxCallDepth) {
        return Unknown(command->line, "its functions call each other too often to be followed");
      }
      if (auto end = Take(*command, arguments, depth)) {
        return end;
      }
      if (returned_) {
        break;
      }
    }
    returned_ = false;
    return std::nullopt;
  }

  std::optional<ScriptEnd> Take(const Command& command, Arguments& arguments, int depth) {
    const std::vector<Word>& words = command.words;
    const bool is_sure = !command.is_conditional && !command.in_subshell;
    const Word& name = words.front();
    if (name.kind == Word::Kind::kArguments || name.kind == Word::Kind::kSplitArguments) {
      child_line_ = arguments.has_rest ? command.line : child_line_;
      return std::nullopt;
    }
    if (name.kind != Word::Kind::kText) {
      NoteUse(command, arguments, "what it is that gets the arguments is not known");
      return std::nullopt;
    }
    if (name.text == "exec") {
      return TakeExec(command, arguments, is_sure);
    }
    if (name.text == "exit" || name.text == "return") {
      return TakeExit(command, is_sure);
    }
    if (name.text == "shift") {
      return TakeShift(command, arguments, is_sure);
    }
    if (name.text == "set" && words.size() > 1 && IsText(words[1], "--")) {
      TakeSet(command, arguments, is_sure);
      return std::nullopt;
    }
    if (name.text == "." || name.text == "source" || name.text == "eval") {
      elsewhere_line_ = command.line;
      elsewhere_ = fmt::format("\"{}\" goes on elsewhere", Text(words));
      return std::nullopt;
    }
    if (functions_.contains(name.text) && !name.text.empty()) {
      return TakeCall(command, arguments, is_sure, depth);
    }
    NoteUse(command, arguments, fmt::format("{} gets the arguments", name.text));
    return std::nullopt;
  }

  /// A program that gets "$@" may execute it, as a child.
  void NoteUse(const Command& command, const Arguments& arguments, const std::string& why) {
    const bool uses =
        std::any_of(command.words.begin() + 1, command.words.end(), [](const Word& word) {
          return word.kind == Word::Kind::kArguments || word.kind == Word::Kind::kSplitArguments;
        });
    static const auto& harmless = *new std::vector<std::string_view>{
        "echo", "printf", "[", "test", ":", "local", "export", "set", "getopt", "logger", "true"};
    if (uses && arguments.has_rest &&
        std::find(harmless.begin(), harmless.end(), command.words.front().text) == harmless.end()) {
      elsewhere_line_ = command.line;
      elsewhere_ = why;
    }
  }

  std::optional<ScriptEnd> TakeExec(const Command& command, const Arguments& arguments,
                                    bool is_sure) {
    std::vector<Word> words(command.words.begin() + 1, command.words.end());
    while (!words.empty() && words[0].kind == Word::Kind::kText && words[0].text.starts_with('-') &&
           words[0].text.size() > 1) {
      const size_t count = words[0].text == "-a" ? 2 : 1;
      const bool last = words[0].text == "--";
      words.erase(words.begin(),
                  words.begin() + static_cast<ptrdiff_t>(std::min(count, words.size())));
      if (last) {
        break;
      }
    }
    if (words.empty()) {
      return std::nullopt;  // redirections alone
    }
    const auto all = std::find_if(words.begin(), words.end(), [](const Word& word) {
      return word.kind != Word::Kind::kText && word.kind != Word::Kind::kUnknown;
    });
    if (all == words.end() || !arguments.has_rest) {
      if (!is_sure) {
        return std::nullopt;
      }
      if (conditional_line_ != 0) {
        stopped_ = true;
        returned_ = true;
        return std::nullopt;
      }
      return ScriptEnd{Verdict::kDoesNot,
                       fmt::format("line {}: exec {} ends the script without its arguments{}",
                                   command.line, Text(words), replaced_),
                       {}};
    }
    if (!is_sure || shifted_line_ != 0) {
      if (shifted_line_ != 0) {
        return Unknown(shifted_line_, "under a condition, arguments are dropped");
      }
      conditional_line_ = command.line;
      return std::nullopt;
    }
    if (all + 1 != words.end() || all->kind == Word::Kind::kJoined) {
      return ScriptEnd{all->text == "\"$*\"" ? Verdict::kDoesNot : Verdict::kCannotTell,
                       fmt::format("line {}: exec {} does not hand the arguments on as they are; "
                                   "write \"$@\" at the end",
                                   command.line, Text(words)),
                       {}};
    }
    ScriptEnd end{Verdict::kDoes,
                  fmt::format("line {}: exec {}{}", command.line, Text(words),
                              all->kind == Word::Kind::kSplitArguments
                                  ? " (without quotes, arguments with blanks come apart)"
                                  : ""),
                  {}};
    words.pop_back();
    words.insert(words.end(), arguments.first.begin(), arguments.first.end());
    end.words = std::move(words);
    return end;
  }

  std::optional<ScriptEnd> TakeExit(const Command& command, bool is_sure) {
    if (!is_sure) {
      return std::nullopt;
    }
    if (command.words.front().text == "return" && !command.function.empty()) {
      returned_ = true;
      return std::nullopt;
    }
    if (conditional_line_ != 0 || elsewhere_line_ != 0 || child_line_ != 0) {
      stopped_ = true;
      returned_ = true;
      return std::nullopt;
    }
    return ScriptEnd{Verdict::kDoesNot,
                     fmt::format("line {}: {} ends the script before its arguments are executed",
                                 command.line, Text(command.words)),
                     {}};
  }

  std::optional<ScriptEnd> TakeShift(const Command& command, Arguments& arguments, bool is_sure) {
    if (command.in_subshell) {
      return std::nullopt;
    }
    if (!is_sure) {
      shifted_line_ = command.line;
      return std::nullopt;
    }
    size_t count = 1;
    if (command.words.size() > 1) {
      const std::string& text = command.words[1].text;
      const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), count);
      if (error != std::errc() || end != text.data() + text.size()) {
        return Unknown(command.line, "how many arguments are dropped is not known");
      }
    }
    if (!arguments.has_rest) {
      return std::nullopt;
    }
    if (count > arguments.first.size()) {
      return ScriptEnd{Verdict::kDoesNot,
                       fmt::format("line {}: shift drops the first of its arguments", command.line),
                       {}};
    }
    arguments.first.erase(arguments.first.begin(),
                          arguments.first.begin() + static_cast<ptrdiff_t>(count));
    return std::nullopt;
  }

  void TakeSet(const Command& command, Arguments& arguments, bool is_sure) {
    // Under a condition it is what makes a command of options: set -- server "$@".
    if (!is_sure) {
      return;
    }
    std::vector<Word> words(command.words.begin() + 2, command.words.end());
    arguments = Passed(std::move(words), arguments);
    if (!arguments.has_rest) {
      replaced_ = fmt::format(" (line {} has replaced them)", command.line);
    }
  }

  /// What "$@" is behind `words`, as an argument list.
  static Arguments Passed(std::vector<Word> words, const Arguments& arguments) {
    const bool passes = arguments.has_rest && !words.empty() &&
                        (words.back().kind == Word::Kind::kArguments ||
                         words.back().kind == Word::Kind::kSplitArguments);
    if (passes) {
      words.pop_back();
      words.insert(words.end(), arguments.first.begin(), arguments.first.end());
    }
    return {.first = std::move(words), .has_rest = passes};
  }

  std::optional<ScriptEnd> TakeCall(const Command& command, const Arguments& arguments,
                                    bool is_sure, int depth) {
    Arguments passed = Passed({command.words.begin() + 1, command.words.end()}, arguments);
    auto end = Follow(command.words.front().text, std::move(passed), depth + 1);
    if (is_sure || !end) {
      if (stopped_) {
        returned_ = true;
      }
      return end;
    }
    if (end->verdict != Verdict::kDoesNot) {
      conditional_line_ = command.line;
    }
    return std::nullopt;
  }

  std::map<std::string, std::vector<const Command*>> functions_;
  size_t followed_ = 0;
  bool returned_ = false;
  bool stopped_ = false;
  int conditional_line_ = 0;
  int elsewhere_line_ = 0;
  int child_line_ = 0;
  int shifted_line_ = 0;
  std::string elsewhere_;
  std::string replaced_;
};

}  // namespace

std::string_view NameOf(Verdict verdict) {
  switch (verdict) {
    case Verdict::kDoes:
      return "does";
    case Verdict::kDoesNot:
      return "does not";
    case Verdict::kCannotTell:
      break;
  }
  return "cannot tell";
}

ScriptEnd EndOf(std::string_view script, std::vector<Word> first_arguments) {
  const auto commands = CommandsOf(script);
  if (!commands.ok()) {
    return {Verdict::kCannotTell,
            fmt::format("it cannot be read: {}", MessageOf(commands.status())),
            {}};
  }
  return Walk(*commands).End(std::move(first_arguments));
}

}  // namespace starling::dockerfile::entrypoint
