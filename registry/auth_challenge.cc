#include "registry/auth_challenge.h"

#include "base/text.h"

namespace starling::registry {
namespace {

bool IsTokenCharacter(char c) {
  return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') ||
         std::string_view("!#$%&'*+-.^_`|~").find(c) != std::string_view::npos;
}

/// Reads a header from left to right; every call moves on or says that it did not.
class Scanner {
 public:
  explicit Scanner(std::string_view text) : text_(text) {}

  bool done() const { return at_ == text_.size(); }
  void SkipSpace() {
    while (!done() && (text_[at_] == ' ' || text_[at_] == '\t')) ++at_;
  }
  void SkipSpaceAndCommas() {
    while (!done() && (text_[at_] == ' ' || text_[at_] == '\t' || text_[at_] == ',')) ++at_;
  }
  void SkipToComma() {
    while (!done() && text_[at_] != ',') ++at_;
  }
  bool Take(char wanted) {
    if (done() || text_[at_] != wanted) {
      return false;
    }
    ++at_;
    return true;
  }
  std::string_view Token() {
    const size_t start = at_;
    while (!done() && IsTokenCharacter(text_[at_])) ++at_;
    return text_.substr(start, at_ - start);
  }
  /// A token or a quoted string. A string without its end goes to the end of the text.
  std::string Value() {
    if (!Take('"')) {
      return std::string(Unquoted());
    }
    std::string value;
    while (!done() && text_[at_] != '"') {
      if (text_[at_] == '\\' && at_ + 1 < text_.size()) {
        ++at_;
      }
      value.push_back(text_[at_++]);
    }
    Take('"');
    return value;
  }

 private:
  // Some servers leave out the quotes around URLs.
  std::string_view Unquoted() {
    const size_t start = at_;
    while (!done() && text_[at_] != ',' && text_[at_] != ' ' && text_[at_] != '\t') ++at_;
    return text_.substr(start, at_ - start);
  }

  std::string_view text_;
  size_t at_ = 0;
};

}  // namespace

const std::string& AuthChallenge::Parameter(const std::string& name) const {
  static const std::string none;
  const auto found = parameters.find(name);
  return found == parameters.end() ? none : found->second;
}

std::vector<AuthChallenge> ParseAuthChallenges(std::string_view header) {
  std::vector<AuthChallenge> challenges;
  Scanner scanner(header.substr(0, kMaxChallengeBytes));
  for (scanner.SkipSpaceAndCommas(); !scanner.done(); scanner.SkipSpaceAndCommas()) {
    const std::string word = LowerCase(scanner.Token());
    if (word.empty()) {
      scanner.SkipToComma();
      continue;
    }
    scanner.SkipSpace();
    // "name=" belongs to the challenge before; a word alone begins the next one.
    if (!scanner.Take('=')) {
      if (challenges.size() == kMaxChallenges) {
        break;
      }
      challenges.push_back({.scheme = word});
      continue;
    }
    scanner.SkipSpace();
    std::string value = scanner.Value();
    if (!challenges.empty() && challenges.back().parameters.size() < kMaxChallengeParameters) {
      challenges.back().parameters.emplace(word, std::move(value));  // the first one counts
    }
  }
  return challenges;
}

}  // namespace starling::registry
