#include "dockerfile/entrypoint/judge.h"

#include <fcntl.h>
#include <sys/stat.h>

#include <algorithm>
#include <array>
#include <optional>

#include "base/io.h"
#include "dockerfile/files/root_walk.h"

namespace starling::dockerfile::entrypoint {
namespace {

constexpr int kMaxPrograms = 16;
constexpr std::string_view kElf =
    "\x7f"
    "ELF";

/// A program that executes the rest of its command line, after its options.
struct Wrapper {
  std::string_view name;
  /// Options that take the next word.
  std::vector<std::string_view> with_value;
  /// Words between its options and the command.
  size_t operands = 0;
  bool takes_variables = false;
};

const std::vector<Wrapper>& Wrappers() {
  static const auto& wrappers = *new std::vector<Wrapper>{
      {"tini", {"-p", "-e"}},
      {"tini-static", {"-p", "-e"}},
      {"docker-init", {"-p", "-e"}},
      {"dumb-init", {"-r", "--rewrite"}},
      {"catatonit", {}},
      {"env", {"-u", "-C", "--unset", "--chdir"}, 0, true},
      {"gosu", {}, 1},
      {"su-exec", {}, 1},
      {"s6-setuidgid", {}, 1},
      {"setpriv", {}},
      {"nice", {"-n"}},
      {"ionice", {"-c", "-n"}},
      {"stdbuf", {"-i", "-o", "-e"}},
      {"nohup", {}},
      {"sudo", {"-u", "-g"}, 0, true},
  };
  return wrappers;
}

bool IsShell(std::string_view name) {
  static constexpr std::array kShells = {"sh", "bash", "dash", "ash", "ksh", "mksh", "posh", "zsh"};
  return std::find(kShells.begin(), kShells.end(), name) != kShells.end();
}

std::string_view BaseName(std::string_view path) { return path.substr(path.rfind('/') + 1); }

std::vector<Word> WordsOf(const std::vector<std::string>& texts) {
  std::vector<Word> words;
  words.reserve(texts.size());
  for (const std::string& text : texts) {
    words.push_back({.kind = Word::Kind::kText, .text = text});
  }
  return words;
}

void RemoveFirst(std::vector<Word>& words, size_t count) {
  words.erase(words.begin(), words.begin() + static_cast<ptrdiff_t>(std::min(count, words.size())));
}

bool IsOption(const Word& word) {
  return word.kind == Word::Kind::kText && word.text.size() > 1 && word.text.starts_with('-');
}

class Judging {
 public:
  Judging(int root, const Start& start) : root_(root), start_(start) {}

  /// Of a command line that begins with `words`; the command follows.
  Judgement Of(std::vector<Word> words) {
    if (words.empty()) {
      return {.verdict = Verdict::kDoes, .file = file_, .reason = reason_};
    }
    if (++programs_ > kMaxPrograms) {
      return CannotTell("too many programs start each other");
    }
    const Word first = words.front();
    if (first.kind != Word::Kind::kText) {
      return CannotTell(fmt::format("{}{}which program {} is the text does not tell", reason_,
                                    reason_.empty() ? "" : ": ", first.text));
    }
    const std::string path = Find(first.text);
    if (path.empty()) {
      return {
          Verdict::kDoesNot, first.text,
          first.text.find('/') == std::string::npos
              ? fmt::format("it is in no directory of the image's PATH ({})", start_.search_path)
              : "there is no such file in the image"};
    }
    RemoveFirst(words, 1);
    std::string_view name = BaseName(first.text);
    if (name == "busybox" && !words.empty() && words[0].kind == Word::Kind::kText) {
      name = BaseName(words[0].text);
      const std::string applet(name);
      RemoveFirst(words, 1);
      return OfKnown(applet, std::move(words), path);
    }
    return OfKnown(std::string(name), std::move(words), path);
  }

 private:
  Judgement CannotTell(std::string reason) const {
    return {Verdict::kCannotTell, file_, std::move(reason)};
  }

  Judgement OfKnown(const std::string& name, std::vector<Word> words, const std::string& path) {
    if (IsShell(name)) {
      file_ = path;
      return OfShell(std::move(words), path);
    }
    const auto& wrappers = Wrappers();
    const auto wrapper = std::find_if(wrappers.begin(), wrappers.end(),
                                      [&](const Wrapper& one) { return one.name == name; });
    if (wrapper == wrappers.end()) {
      return OfFile(std::move(words), path);
    }
    file_ = file_.empty() ? path : file_;
    reason_ = reason_.empty() ? fmt::format("{} executes what follows", name) : reason_;
    while (!words.empty()) {
      const Word& word = words.front();
      const bool is_value = std::find(wrapper->with_value.begin(), wrapper->with_value.end(),
                                      word.text) != wrapper->with_value.end();
      if (word.kind == Word::Kind::kText && word.text == "--") {
        RemoveFirst(words, 1);
        break;
      }
      if (IsOption(word)) {
        RemoveFirst(words, is_value ? 2 : 1);
      } else if (wrapper->takes_variables && word.text.find('=') != std::string::npos) {
        RemoveFirst(words, 1);
      } else {
        break;
      }
    }
    if (words.size() < wrapper->operands) {
      return {Verdict::kDoesNot, path,
              fmt::format("{} takes the first word of the command for itself", name)};
    }
    RemoveFirst(words, wrapper->operands);
    return Of(std::move(words));
  }

  /// sh [options] [-c TEXT [NAME]] [FILE] arguments...
  Judgement OfShell(std::vector<Word> words, const std::string& path) {
    bool has_text = false;
    while (!words.empty() && (IsOption(words[0]) || words[0].text.starts_with('+'))) {
      const std::string option = words[0].text;
      const bool takes_value = option == "-o" || option == "+o" || option == "-O";
      RemoveFirst(words, takes_value ? 2 : 1);
      if (option == "--") {
        break;
      }
      has_text = has_text || (!option.starts_with("--") && option.starts_with('-') &&
                              option.find('c') != std::string::npos);
    }
    if (words.empty()) {
      return {Verdict::kDoesNot, path,
              has_text ? "the shell takes the first word of the command for its script"
                       : "the shell takes the first word of the command for a script's name"};
    }
    const Word script = words[0];
    RemoveFirst(words, 1);
    if (script.kind != Word::Kind::kText) {
      return CannotTell(fmt::format("which script {} is the text does not tell", script.text));
    }
    if (!has_text) {
      const std::string file =
          Find(script.text.find('/') == std::string::npos ? "./" + script.text : script.text);
      if (file.empty()) {
        return {Verdict::kDoesNot, script.text, "there is no such file in the image"};
      }
      return OfScript(file, std::move(words));
    }
    if (words.empty()) {
      ScriptEnd end = EndOf(script.text, {});
      if (end.verdict != Verdict::kDoesNot) {
        end.reason =
            "the text of sh -c has the first word of the command as $0, not in \"$@\"; "
            "write a word such as -- behind it";
      } else {
        end.reason = "the text of sh -c, as of an ENTRYPOINT without brackets: " + end.reason;
      }
      return {Verdict::kDoesNot, path, end.reason};
    }
    RemoveFirst(words, 1);  // $0
    return OfEnd(EndOf(script.text, std::move(words)), "the text of sh -c: ");
  }

  Judgement OfEnd(ScriptEnd end, const std::string& where) {
    end.reason.insert(0, where);
    if (end.verdict != Verdict::kDoes) {
      return {end.verdict, file_, std::move(end.reason)};
    }
    reason_ = std::move(end.reason);
    return Of(std::move(end.words));
  }

  Judgement OfScript(const std::string& path, std::vector<Word> words) {
    file_ = path;
    const auto text = ReadFile(path, kMaxScriptBytes);
    if (!text.ok()) {
      return CannotTell(fmt::format("it cannot be read: {}", MessageOf(text.status())));
    }
    return OfEnd(EndOf(*text, std::move(words)), "");
  }

  /// A program that is none of those that are known.
  Judgement OfFile(std::vector<Word> words, const std::string& path) {
    const bool from_script = !file_.empty();
    if (!from_script) {
      file_ = path;
    }
    if (!files::OpenProgram(root_, path).valid()) {
      return {Verdict::kDoesNot, path, "it is not executable; give it the mode 755"};
    }
    const auto text = ReadFile(path, kMaxScriptBytes);
    if (!text.ok()) {
      return CannotTell(fmt::format("what {} does with its arguments is not known", path));
    }
    if (text->starts_with(kElf)) {
      return CannotTell(
          fmt::format("{} is a program, and what it does with its arguments its file "
                      "does not tell",
                      path));
    }
    if (!text->starts_with("#!")) {
      if (from_script) {
        return OfScript(path, std::move(words));
      }
      return {Verdict::kDoesNot, path,
              "it has no first line that names its interpreter, such as #!/bin/sh, and so cannot "
              "be started"};
    }
    std::string_view line = std::string_view(*text).substr(2);
    line = line.substr(0, line.find('\n'));
    // The kernel takes at most one word behind the interpreter; env -S takes several.
    std::vector<std::string> parts;
    size_t begin = line.find_first_not_of(" \t\r");
    while (begin != std::string_view::npos) {
      const size_t end = std::min(line.find_first_of(" \t\r", begin), line.size());
      parts.emplace_back(line.substr(begin, end - begin));
      begin = line.find_first_not_of(" \t\r", end);
    }
    if (parts.empty()) {
      return {Verdict::kDoesNot, path, "its first line names no interpreter"};
    }
    std::string interpreter = parts[0];
    if (BaseName(interpreter) == "env") {
      const auto named = std::find_if(parts.begin() + 1, parts.end(), [](const std::string& part) {
        return !part.starts_with('-') && part.find('=') == std::string::npos;
      });
      if (named == parts.end()) {
        return {Verdict::kDoesNot, path, "its first line names no interpreter"};
      }
      interpreter = *named;
    } else if (BaseName(interpreter) == "busybox" && parts.size() > 1) {
      interpreter = parts[1];
    }
    if (line.ends_with('\r')) {
      return {Verdict::kDoesNot, path,
              "its lines end as on Windows, so its interpreter is not found; let them end as on "
              "Unix"};
    }
    if (Find(interpreter).empty()) {
      return {Verdict::kDoesNot, path,
              fmt::format("its interpreter {} is not in the image", interpreter)};
    }
    if (!IsShell(BaseName(interpreter))) {
      file_ = path;
      return CannotTell(fmt::format("it is a script of {}, and only those of shells are understood",
                                    BaseName(interpreter)));
    }
    return OfScript(path, std::move(words));
  }

  /// The path of a regular file in the image; empty for none.
  std::string Find(const std::string& name) const {
    if (name.find('/') != std::string::npos) {
      const std::string path =
          name.starts_with('/')
              ? name
              : (std::filesystem::path(
                     start_.working_directory.empty() ? "/" : start_.working_directory) /
                 name)
                    .lexically_normal()
                    .native();
      const auto file = files::OpenInRoot(root_, path, O_PATH);
      struct stat info{};
      return file.ok() && ::fstat(file->get(), &info) == 0 && S_ISREG(info.st_mode) ? path : "";
    }
    std::string_view rest = start_.search_path;
    while (!rest.empty()) {
      const size_t end = std::min(rest.find(':'), rest.size());
      const std::string path = std::string(rest.substr(0, end)) + "/" + name;
      rest.remove_prefix(std::min(end + 1, rest.size()));
      if (path.starts_with('/') && files::OpenProgram(root_, path).valid()) {
        return path;
      }
    }
    return "";
  }

  /// All of a small file, or the first bytes of a program.
  StatusOr<std::string> ReadFile(const std::string& path, uint64_t max_bytes) const {
    ASSIGN_OR_RETURN(const UniqueFd file,
                     files::OpenInRoot(root_, path, O_RDONLY | O_NONBLOCK | O_CLOEXEC));
    struct stat info{};
    if (::fstat(file.get(), &info) != 0 || !S_ISREG(info.st_mode)) {
      return MakeError(StatusCode::kFailedPrecondition, "it is no file");
    }
    std::array<char, kElf.size()> head{};
    if (::pread(file.get(), head.data(), head.size(), 0) == static_cast<ssize_t>(head.size()) &&
        std::string_view(head.data(), head.size()) == kElf) {
      return std::string(kElf);
    }
    FdSource source(file.get());
    ASSIGN_OR_RETURN(const Bytes bytes, ReadAll(source, max_bytes));
    return std::string(AsText(bytes));
  }

  const int root_;
  const Start& start_;
  int programs_ = 0;
  /// The last file that decided, and what it does.
  std::string file_;
  std::string reason_;
};

}  // namespace

StatusOr<Judgement> Judge(const std::filesystem::path& root, const Start& start) {
  if (start.entrypoint.empty()) {
    return Judgement{Verdict::kDoes, "", "there is no entrypoint"};
  }
  ASSIGN_OR_RETURN(const UniqueFd opened, files::OpenRoot(root));
  return Judging(opened.get(), start).Of(WordsOf(start.entrypoint));
}

}  // namespace starling::dockerfile::entrypoint
