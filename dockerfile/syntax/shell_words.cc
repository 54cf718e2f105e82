#include "dockerfile/syntax/shell_words.h"

#include <cstdint>
#include <utility>

#include "dockerfile/syntax/characters.h"
#include "dockerfile/syntax/shell_pattern.h"

namespace starling::dockerfile::syntax {
namespace {

// No character: what Peek says at the end of the text.
constexpr char32_t kEnd = 0xFFFFFFFF;

Status Invalid(std::string message) { return MakeError(StatusCode::kInvalidArgument, message); }

bool IsSpecialParameter(char32_t code) {
  return code < 0x80 &&
         std::string_view("@*#?-$!0").find(static_cast<char>(code)) != std::string_view::npos;
}

/// Splits what it is given into words.
class WordSplitter {
 public:
  /// Blanks in `bytes` end the word.
  void AddSplit(std::string_view bytes) {
    size_t word_bytes = 0;
    while (word_bytes < bytes.size()) {
      // Of what is no blank nearly all is this, and there may be megabytes of it.
      if (const auto byte = static_cast<uint8_t>(bytes[word_bytes]); byte > ' ' && byte < 0x80) {
        ++word_bytes;
        continue;
      }
      const Character next = FirstCharacter(bytes.substr(word_bytes));
      if (!IsSpace(next.code)) {
        word_bytes += next.bytes.size();
        continue;
      }
      word_ += bytes.substr(0, word_bytes);
      EndWord();
      bytes.remove_prefix(word_bytes + next.bytes.size());
      word_bytes = 0;
    }
    word_ += bytes;
  }
  void AddWhole(std::string_view bytes) { word_ += bytes; }
  std::vector<std::string> Take() {
    EndWord();
    return std::move(words_);
  }

 private:
  void EndWord() {
    if (!word_.empty()) {
      words_.push_back(std::exchange(word_, {}));
    }
  }

  std::string word_;
  std::vector<std::string> words_;
};

class Expander {
 public:
  Expander(std::string_view text, const Lookup& lookup, const ExpandOptions& options)
      : left_(text), lookup_(lookup), options_(options) {}

  StatusOr<Expansion> Run() {
    ASSIGN_OR_RETURN(Part part, Until(kEnd, options_.keep_escapes, 0));
    result_.text = std::move(part.text);
    result_.words = std::move(part.words);
    return std::move(result_);
  }

 private:
  struct Part {
    std::string text;
    std::vector<std::string> words;
  };

  char32_t Peek() const { return left_.empty() ? kEnd : FirstCharacter(left_).code; }
  std::string_view Next() {
    if (left_.empty()) {
      return {};
    }
    const std::string_view bytes = FirstCharacter(left_).bytes;
    left_.remove_prefix(bytes.size());
    return bytes;
  }
  bool IsEscape(char32_t code) const { return code == static_cast<unsigned char>(options_.escape); }

  /// Up to `stop`, which is taken, too.
  StatusOr<Part> Until(char32_t stop, bool keep_escapes, int depth) {
    Part part;
    WordSplitter words;
    while (true) {
      const char32_t code = Peek();
      if (code == stop) {
        Next();
        part.words = words.Take();
        return part;
      }
      if (code == kEnd) {
        return Invalid(fmt::format("the matching '{}' is missing", static_cast<char>(stop)));
      }
      if (part.text.size() > kMaxExpansionBytes) {
        return MakeError(StatusCode::kResourceExhausted,
                         fmt::format("an expansion gives more than {} bytes", kMaxExpansionBytes));
      }
      if (code == '$') {
        ASSIGN_OR_RETURN(const std::string value, Dollar(depth));
        part.text += value;
        words.AddSplit(value);
      } else if (code == '\'' && !options_.ignore_quotes) {
        ASSIGN_OR_RETURN(const std::string value, SingleQuoted());
        part.text += value;
        words.AddWhole(value);
      } else if (code == '"' && !options_.ignore_quotes) {
        ASSIGN_OR_RETURN(const std::string value, DoubleQuoted(keep_escapes, depth));
        part.text += value;
        words.AddWhole(value);
      } else if (IsEscape(code)) {
        const std::string_view escape = Next();
        if (keep_escapes) {
          part.text += escape;
          words.AddWhole(escape);
        }
        const std::string_view escaped = Next();
        part.text += escaped;
        words.AddWhole(escaped);
      } else {
        const std::string_view bytes = Next();
        part.text += bytes;
        words.AddSplit(bytes);
      }
    }
  }

  StatusOr<std::string> SingleQuoted() {
    Next();
    const size_t end = left_.find('\'');
    if (end == std::string_view::npos) {
      return Invalid("the matching single quote is missing");
    }
    std::string text(left_.substr(0, end));
    left_.remove_prefix(end + 1);
    return options_.keep_quotes ? '\'' + text + '\'' : text;
  }

  StatusOr<std::string> DoubleQuoted(bool keep_escapes, int depth) {
    Next();
    std::string text(options_.keep_quotes ? "\"" : "");
    while (true) {
      const char32_t code = Peek();
      if (code == kEnd) {
        return Invalid("the matching double quote is missing");
      }
      if (code == '"') {
        Next();
        return options_.keep_quotes ? text + '"' : text;
      }
      if (code == '$') {
        ASSIGN_OR_RETURN(const std::string value, Dollar(depth));
        text += value;
        if (text.size() > kMaxExpansionBytes) {
          return MakeError(
              StatusCode::kResourceExhausted,
              fmt::format("an expansion gives more than {} bytes", kMaxExpansionBytes));
        }
        continue;
      }
      std::string_view bytes = Next();
      if (IsEscape(code)) {
        if (keep_escapes) {
          text += bytes;
        }
        const char32_t escaped = Peek();
        if (escaped == kEnd) {
          continue;
        }
        // Before anything else the escape is a character like others.
        if (escaped == '"' || escaped == '$' || IsEscape(escaped)) {
          bytes = Next();
        }
      }
      text += bytes;
    }
  }

  std::string Name() {
    std::string name;
    if (IsSpecialParameter(Peek()) && Peek() != '0') {
      return std::string(Next());
    }
    const bool positional = Peek() >= '0' && Peek() <= '9';
    while (IsNameCharacter(Peek()) && (!positional || (Peek() >= '0' && Peek() <= '9'))) {
      name += Next();
    }
    return name;
  }

  std::optional<std::string> Value(const std::string& name) {
    std::optional<std::string> value = lookup_(name);
    (value ? result_.matched : result_.unmatched).insert(name);
    return value;
  }

  StatusOr<std::string> Dollar(int depth) {
    if (depth >= kMaxExpansionDepth) {
      return MakeError(StatusCode::kResourceExhausted,
                       fmt::format("more than {} references in references", kMaxExpansionDepth));
    }
    Next();
    if (Peek() != '{') {
      const std::string name = Name();
      if (name.empty()) {
        return "$";
      }
      std::optional<std::string> value = Value(name);
      if (!value && options_.keep_unset) {
        return '$' + name;
      }
      return std::move(value).value_or("");
    }
    Next();
    return Braces(depth + 1);
  }

  /// Behind "${".
  StatusOr<std::string> Braces(int depth) {
    const std::string_view from_here = left_;
    const std::string name = Name();
    if (name.empty()) {
      return Invalid("bad substitution: a variable's name is missing after '${'");
    }
    std::string modifier(Next());
    if (modifier.empty()) {
      return Invalid("the matching '}' is missing");
    }
    const auto as_written = [&] {
      return "${" + std::string(from_here.substr(0, from_here.size() - left_.size()));
    };
    if (modifier == "}") {
      std::optional<std::string> value = Value(name);
      if (!value && options_.keep_unset) {
        return as_written();
      }
      return std::move(value).value_or("");
    }
    if (modifier == "/") {
      const bool all = Peek() == '/';
      if (all) {
        Next();
      }
      ASSIGN_OR_RETURN(const Part pattern, Until('/', /*keep_escapes=*/true, depth));
      ASSIGN_OR_RETURN(const Part replacement, Until('}', /*keep_escapes=*/true, depth));
      const std::optional<std::string> value = Value(name);
      if (!value && options_.keep_unset) {
        return as_written();
      }
      return ReplacePattern(value.value_or(""), pattern.text, replacement.text,
                            all ? Replace::kAll : Replace::kFirst, kMaxExpansionBytes);
    }
    const bool empty_is_unset = modifier == ":";
    if (empty_is_unset) {
      modifier += Next();
    }
    const char kind = modifier.back();
    const bool cuts = !empty_is_unset && (kind == '#' || kind == '%');
    if (modifier.size() != (empty_is_unset ? 2U : 1U) ||
        (!cuts && kind != '-' && kind != '+' && kind != '?')) {
      return Invalid(fmt::format("unsupported modifier ({}) in substitution", modifier));
    }
    ASSIGN_OR_RETURN(Part word, Until('}', /*keep_escapes=*/cuts, depth));
    const std::optional<std::string> value = Value(name);
    if (!value && options_.keep_unset) {
      return as_written();
    }
    if (cuts) {
      return Cut(kind, value.value_or(""), word.text);
    }
    const bool missing = !value || (empty_is_unset && value->empty());
    if (kind == '-') {
      return missing ? word.text : *value;
    }
    if (kind == '+') {
      return missing ? "" : word.text;
    }
    if (!missing) {
      return *value;
    }
    if (word.text.empty()) {
      word.text = value ? "is not allowed to be empty" : "is not allowed to be unset";
    }
    return Invalid(fmt::format("{}: {}", name, word.text));
  }

  static StatusOr<std::string> Cut(char kind, std::string_view value, std::string_view pattern) {
    const bool longest = pattern.starts_with(kind);
    if (longest) {
      pattern.remove_prefix(1);
    }
    const Match match = longest ? Match::kLongest : Match::kShortest;
    return kind == '#' ? CutPrefix(value, pattern, match) : CutSuffix(value, pattern, match);
  }

  std::string_view left_;
  const Lookup& lookup_;
  const ExpandOptions& options_;
  Expansion result_;
};

}  // namespace

std::optional<std::string> NoVariables(std::string_view /*name*/) { return std::nullopt; }

StatusOr<Expansion> Expand(std::string_view text, const Lookup& lookup,
                           const ExpandOptions& options) {
  return Expander(text, lookup, options).Run();
}

}  // namespace starling::dockerfile::syntax
