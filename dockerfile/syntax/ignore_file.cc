#include "dockerfile/syntax/ignore_file.h"

#include <re2/re2.h>

#include <algorithm>
#include <optional>

#include "base/text.h"
#include "dockerfile/syntax/characters.h"
#include "dockerfile/syntax/paths.h"

namespace starling::dockerfile::syntax {
namespace {

constexpr std::string_view kByteOrderMark = "\xEF\xBB\xBF";

}  // namespace

/// One pattern, ready to match. Most need no regular expression.
class IgnoreFile::Rule {
 public:
  static StatusOr<Rule> Make(IgnorePattern pattern) {
    Rule rule;
    rule.pattern_ = std::move(pattern);
    std::string_view text = TrimUnicodeSpace(rule.pattern_.text);
    rule.includes_ = text.starts_with('!');
    if (rule.includes_) {
      text.remove_prefix(1);
    }
    if (text.empty()) {
      return MakeError(StatusCode::kInvalidArgument, "'!' needs a pattern behind it");
    }
    RETURN_IF_ERROR(CheckGlob(text));
    rule.glob_ = CleanPath(text);
    RETURN_IF_ERROR(rule.Compile());
    return rule;
  }

  const IgnorePattern& pattern() const { return pattern_; }
  bool includes() const { return includes_; }
  /// Whether every name at the context's root matches.
  bool MatchesAll() const {
    std::string_view glob = glob_;
    while (glob.starts_with("**/")) {
      glob.remove_prefix(3);
    }
    return !glob.empty() && glob.find_first_not_of('*') == std::string_view::npos;
  }

  /// `utf8` is `path`, made valid.
  bool Matches(std::string_view path, std::string_view utf8) const {
    switch (kind_) {
      case Kind::kExact:
        return path == glob_;
      case Kind::kPrefix:
        return path.starts_with(literal_);
      case Kind::kSuffix:
        // "**/name" is also the name at the root.
        return path.ends_with(literal_) ||
               (literal_.starts_with('/') && path == std::string_view(literal_).substr(1));
      case Kind::kExpression:
        return RE2::FullMatch(utf8, *expression_);
    }
    return false;
  }

 private:
  enum class Kind { kExact, kPrefix, kSuffix, kExpression };

  /// What Docker's matcher does is more than its documentation says: "a**" is every path that
  /// begins with a, "**a" every path that ends in it, slashes or not.
  Status Compile() {
    const bool wild_start = glob_.starts_with("**");
    const std::string_view inner = std::string_view(glob_).substr(wild_start ? 2 : 0);
    const bool wild_end = inner.ends_with("**");
    const std::string_view literal = inner.substr(0, inner.size() - (wild_end ? 2 : 0));
    const bool plain = literal.find_first_of("*?[]\\") == std::string_view::npos;
    if (plain && !(wild_start && wild_end)) {
      kind_ = wild_start ? Kind::kSuffix : wild_end ? Kind::kPrefix : Kind::kExact;
      literal_ = literal;
      return OkStatus();
    }
    kind_ = Kind::kExpression;
    std::string expression;
    const std::string utf8 = ToUtf8(glob_);
    for (std::string_view left = utf8; !left.empty();) {
      const std::string_view next = FirstCharacter(left).bytes;
      left.remove_prefix(next.size());
      if (next == "*" && left.starts_with('*')) {
        left.remove_prefix(left.starts_with("*/") ? 2 : 1);
        expression += left.empty() ? ".*" : "(?:.*/)?";
      } else if (next == "*") {
        expression += "[^/]*";
      } else if (next == "?") {
        expression += "[^/]";
      } else if (next == "[" || next == "]" || next == "^" || next == "-") {
        // Of a class, which CheckGlob has seen. Outside of one they are ordinary, but for '^'.
        expression += next == "^" && !expression.ends_with('[') ? "\\^" : next;
      } else if (next == "\\" && !left.empty()) {
        const std::string_view escaped = FirstCharacter(left).bytes;
        left.remove_prefix(escaped.size());
        expression += RE2::QuoteMeta(escaped);
      } else {
        expression += RE2::QuoteMeta(next);
      }
    }
    RE2::Options options;
    options.set_log_errors(false);
    expression_ = std::make_unique<RE2>(expression, options);
    if (!expression_->ok()) {
      return MakeError(StatusCode::kInvalidArgument,
                       fmt::format("pattern '{}': {}", glob_, expression_->error()));
    }
    return OkStatus();
  }

  IgnorePattern pattern_;
  std::string glob_;
  std::string literal_;
  std::unique_ptr<RE2> expression_;
  Kind kind_ = Kind::kExact;
  bool includes_ = false;
};

std::vector<IgnorePattern> ReadIgnorePatterns(std::string_view text) {
  if (text.starts_with(kByteOrderMark)) {
    text.remove_prefix(kByteOrderMark.size());
  }
  std::vector<IgnorePattern> patterns;
  int line_number = 0;
  while (!text.empty()) {
    std::string_view line = TakeLine(text);
    ++line_number;
    if (line.starts_with('#')) {
      continue;
    }
    line = TrimUnicodeSpace(line);
    if (line.empty()) {
      continue;
    }
    const bool includes = line.starts_with('!');
    if (includes) {
      line = TrimUnicodeSpace(line.substr(1));
    }
    std::string pattern;
    if (!line.empty()) {
      pattern = CleanPath(line);
      if (pattern.size() > 1 && pattern.starts_with('/')) {
        pattern.erase(0, 1);
      }
    }
    patterns.push_back({(includes ? "!" : "") + pattern, line_number});
  }
  return patterns;
}

IgnoreFile::IgnoreFile() = default;
IgnoreFile::IgnoreFile(IgnoreFile&&) noexcept = default;
IgnoreFile& IgnoreFile::operator=(IgnoreFile&&) noexcept = default;
IgnoreFile::~IgnoreFile() = default;

StatusOr<IgnoreFile> IgnoreFile::Parse(std::string_view text) {
  if (text.size() > kMaxIgnoreFileBytes) {
    return MakeError(StatusCode::kResourceExhausted,
                     fmt::format("the ignore file is larger than {} bytes", kMaxIgnoreFileBytes));
  }
  return FromPatterns(ReadIgnorePatterns(text));
}

StatusOr<IgnoreFile> IgnoreFile::FromPatterns(std::span<const IgnorePattern> patterns) {
  if (patterns.size() > kMaxIgnorePatterns) {
    return MakeError(StatusCode::kResourceExhausted,
                     fmt::format("there are more than {} ignore patterns", kMaxIgnorePatterns));
  }
  IgnoreFile file;
  for (const IgnorePattern& pattern : patterns) {
    auto rule = Rule::Make(pattern);
    if (!rule.ok()) {
      return pattern.line == 0 ? rule.status()
                               : Annotate(rule.status(), fmt::format("line {}", pattern.line));
    }
    file.rules_.push_back(*std::move(rule));
  }
  return file;
}

IgnoreFile::Decision IgnoreFile::Explain(std::string_view path) const {
  while (path.size() > 1 && path.ends_with('/')) {
    path.remove_suffix(1);
  }
  // The path, then the directories above it from the root on.
  struct Candidate {
    std::string_view path;
    std::string_view utf8;
  };
  const std::string utf8 = ToUtf8(path);
  std::vector<Candidate> candidates = {{path, utf8}};
  size_t utf8_slash = utf8.find('/');
  for (size_t slash = path.find('/'); slash != std::string_view::npos;
       slash = path.find('/', slash + 1)) {
    if (slash > 0) {
      candidates.push_back({path.substr(0, slash), std::string_view(utf8).substr(0, utf8_slash)});
    }
    utf8_slash = utf8.find('/', utf8_slash + 1);
  }
  for (auto rule = rules_.rbegin(); rule != rules_.rend(); ++rule) {
    for (const Candidate& candidate : candidates) {
      if (rule->Matches(candidate.path, candidate.utf8)) {
        return {!rule->includes(), &rule->pattern(), std::string(candidate.path)};
      }
    }
  }
  return {};
}

bool IgnoreFile::HasExceptions() const {
  return std::any_of(rules_.begin(), rules_.end(),
                     [](const Rule& rule) { return rule.includes(); });
}

bool IgnoreFile::IgnoresEverything() const {
  const auto all = std::find_if(rules_.rbegin(), rules_.rend(),
                                [](const Rule& rule) { return rule.MatchesAll(); });
  return all != rules_.rend() &&
         std::none_of(rules_.rbegin(), all, [](const Rule& rule) { return rule.includes(); }) &&
         !all->includes();
}

}  // namespace starling::dockerfile::syntax
