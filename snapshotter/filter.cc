#include "snapshotter/filter.h"

#include <re2/re2.h>

#include <algorithm>
#include <cstdint>
#include <optional>

namespace starling::snapshotter {
namespace {

// A rune, or one of the two values below zero.
using Rune = int32_t;
constexpr Rune kEnd = -1;
constexpr Rune kIllegal = -2;

bool IsSpace(Rune rune) {
  if (rune == 0x20 || (rune >= 0x09 && rune <= 0x0d)) {
    return true;
  }
  return rune == 0x85 || rune == 0xa0 || rune == 0x1680 || (rune >= 0x2000 && rune <= 0x200a) ||
         rune == 0x2028 || rune == 0x2029 || rune == 0x202f || rune == 0x205f || rune == 0x3000;
}
bool IsField(Rune rune) {
  return rune == '_' || (rune >= 'A' && rune <= 'Z') || (rune >= 'a' && rune <= 'z') ||
         (rune >= '0' && rune <= '9');
}
bool IsOperator(Rune rune) { return rune == '=' || rune == '!' || rune == '~'; }
bool IsQuote(Rune rune) { return rune == '"' || rune == '/' || rune == '|'; }
bool IsSeparator(Rune rune) { return rune == ',' || rune == '.'; }
bool IsValue(Rune rune) {
  return rune > 0x20 && rune != ',' && !IsSpace(rune) && !(rune >= 0x7f && rune < 0xa0);
}

int HexDigit(char c) {
  if (c >= '0' && c <= '9') return c - '0';
  if (c >= 'a' && c <= 'f') return c - 'a' + 10;
  if (c >= 'A' && c <= 'F') return c - 'A' + 10;
  return 16;
}

void AppendUtf8(uint32_t code, std::string& out) {
  // As Go does, what is no code point becomes U+FFFD.
  if (code > 0x10ffff || (code >= 0xd800 && code <= 0xdfff)) {
    code = 0xfffd;
  }
  if (code < 0x80) {
    out.push_back(static_cast<char>(code));
  } else if (code < 0x800) {
    out.push_back(static_cast<char>(0xc0 | (code >> 6)));
    out.push_back(static_cast<char>(0x80 | (code & 0x3f)));
  } else if (code < 0x10000) {
    out.push_back(static_cast<char>(0xe0 | (code >> 12)));
    out.push_back(static_cast<char>(0x80 | ((code >> 6) & 0x3f)));
    out.push_back(static_cast<char>(0x80 | (code & 0x3f)));
  } else {
    out.push_back(static_cast<char>(0xf0 | (code >> 18)));
    out.push_back(static_cast<char>(0x80 | ((code >> 12) & 0x3f)));
    out.push_back(static_cast<char>(0x80 | ((code >> 6) & 0x3f)));
    out.push_back(static_cast<char>(0x80 | (code & 0x3f)));
  }
}

struct Decoded {
  Rune rune = kIllegal;
  size_t bytes = 1;
};

// The first rune of `text`, which is not empty. Overlong forms and surrogates are illegal.
Decoded DecodeUtf8(std::string_view text) {
  const auto byte = [text](size_t at) { return static_cast<uint8_t>(text[at]); };
  if (byte(0) < 0x80) {
    return {.rune = byte(0), .bytes = 1};
  }
  size_t bytes = 0;
  uint32_t code = 0;
  uint32_t smallest = 0;
  if ((byte(0) & 0xe0) == 0xc0) {
    bytes = 2, code = byte(0) & 0x1f, smallest = 0x80;
  } else if ((byte(0) & 0xf0) == 0xe0) {
    bytes = 3, code = byte(0) & 0x0f, smallest = 0x800;
  } else if ((byte(0) & 0xf8) == 0xf0) {
    bytes = 4, code = byte(0) & 0x07, smallest = 0x10000;
  }
  if (bytes == 0 || text.size() < bytes) {
    return {};
  }
  for (size_t i = 1; i < bytes; ++i) {
    if ((byte(i) & 0xc0) != 0x80) {
      return {};
    }
    code = (code << 6) | (byte(i) & 0x3f);
  }
  if (code < smallest || code > 0x10ffff || (code >= 0xd800 && code <= 0xdfff)) {
    return {};
  }
  return {.rune = static_cast<Rune>(code), .bytes = bytes};
}

}  // namespace

/// A compiled regular expression, so that the header does not need RE2's.
class Filter::Expression {
 public:
  explicit Expression(const std::string& pattern) : re_(pattern, Quietly()) {}
  bool ok() const { return re_.ok(); }
  const std::string& error() const { return re_.error(); }
  bool FoundIn(std::string_view text) const {
    return RE2::PartialMatch(re2::StringPiece(text.data(), text.size()), re_);
  }

 private:
  static RE2::Options Quietly() {
    RE2::Options options;
    options.set_log_errors(false);
    return options;
  }
  RE2 re_;
};

/// Reads one filter text from left to right.
class Filter::Parser {
 public:
  explicit Parser(std::string_view text) : text_(text) {}

  StatusOr<AllOf> Parse() {
    AllOf all;
    while (true) {
      ASSIGN_OR_RETURN(Selector selector, ParseSelector());
      all.push_back(std::move(selector));
      if (Peek() == kEnd) {
        return all;
      }
      if (Peek() != ',') {
        return ErrorHere("expected \",\" or the end");
      }
      Take();
    }
  }

 private:
  enum class AltQuotes { kRefused, kAllowed };

  StatusOr<Selector> ParseSelector() {
    Selector selector;
    ASSIGN_OR_RETURN(selector.field, ParseField());
    for (bool first = true; Peek() == '.'; first = false) {
      Take();
      ASSIGN_OR_RETURN(const std::string part, ParseField());
      if (!first) {
        selector.key.push_back('.');
      }
      selector.key += part;
    }
    if (Peek() == kEnd || Peek() == ',') {
      return selector;
    }
    ASSIGN_OR_RETURN(selector.op, ParseOperator());
    const auto alt = selector.op == Operator::kMatches ? AltQuotes::kAllowed : AltQuotes::kRefused;
    ASSIGN_OR_RETURN(selector.value, ParseValue(alt));
    if (selector.op == Operator::kMatches) {
      const auto expression = std::make_shared<const Expression>(selector.value);
      if (!expression->ok()) {
        return ErrorHere(fmt::format("bad regular expression: {}", expression->error()));
      }
      selector.expression = expression;
    }
    return selector;
  }

  StatusOr<std::string> ParseField() {
    SkipSpace();
    if (IsQuote(Peek())) {
      return ParseQuoted(AltQuotes::kRefused);
    }
    const size_t begin = at_;
    while (IsField(Peek())) {
      Take();
    }
    if (at_ == begin) {
      return ErrorHere("expected a field or a quoted one");
    }
    return std::string(text_.substr(begin, at_ - begin));
  }

  StatusOr<Operator> ParseOperator() {
    SkipSpace();
    const size_t begin = at_;
    while (IsOperator(Peek())) {
      Take();
    }
    const std::string_view op = text_.substr(begin, at_ - begin);
    if (op == "==") return Operator::kEqual;
    if (op == "!=") return Operator::kNotEqual;
    if (op == "~=") return Operator::kMatches;
    at_ = begin;
    return ErrorHere("expected one of the operators ==, != and ~=");
  }

  StatusOr<std::string> ParseValue(AltQuotes alt) {
    SkipSpace();
    if (IsQuote(Peek())) {
      return ParseQuoted(alt);
    }
    if (IsSeparator(Peek()) || IsOperator(Peek()) || !IsValue(Peek())) {
      return ErrorHere("expected a value or a quoted one");
    }
    const size_t begin = at_;
    while (IsValue(Peek())) {
      Take();
    }
    return std::string(text_.substr(begin, at_ - begin));
  }

  // A Go string literal whose quote may be any of the three.
  StatusOr<std::string> ParseQuoted(AltQuotes alt) {
    const char quote = text_[at_];
    if (quote != '"' && alt == AltQuotes::kRefused) {
      return ErrorHere("only double quotes are allowed here");
    }
    Take();
    std::string value;
    while (true) {
      const Rune rune = Peek();
      if (rune < 0 || rune == '\n') {
        return ErrorHere("the quoted text does not end");
      }
      if (rune == quote) {
        Take();
        return value;
      }
      if (rune == '\\') {
        RETURN_IF_ERROR(ParseEscape(quote, value));
        continue;
      }
      const size_t begin = at_;
      Take();
      value += text_.substr(begin, at_ - begin);
    }
  }

  Status ParseEscape(char quote, std::string& value) {
    const size_t begin = at_;
    Take();
    const Rune rune = Peek();
    constexpr std::string_view kNames = "abfnrtv\\";
    constexpr std::string_view kBytes = "\a\b\f\n\r\t\v\\";
    if (rune == quote) {
      Take();
      value.push_back(quote);
      return OkStatus();
    }
    if (rune > 0 && rune < 0x80) {
      if (const size_t name = kNames.find(static_cast<char>(rune)); name != kNames.npos) {
        Take();
        value.push_back(kBytes[name]);
        return OkStatus();
      }
    }
    switch (rune) {
      case 'x':
        return ParseDigits({.skip = 1, .digits = 2, .base = 16}, value);
      case 'u':
        return ParseDigits({.skip = 1, .digits = 4, .base = 16}, value);
      case 'U':
        return ParseDigits({.skip = 1, .digits = 8, .base = 16}, value);
      default:
        break;
    }
    if (rune >= '0' && rune <= '7') {
      return ParseDigits({.skip = 0, .digits = 3, .base = 8}, value);
    }
    at_ = begin;
    return ErrorHere("unknown escape sequence");
  }

  struct Escape {
    size_t skip;
    size_t digits;
    uint64_t base;
  };
  Status ParseDigits(Escape escape, std::string& value) {
    at_ += escape.skip;
    uint64_t code = 0;
    for (size_t i = 0; i < escape.digits; ++i, ++at_) {
      const int digit = at_ < text_.size() ? HexDigit(text_[at_]) : 16;
      if (static_cast<uint64_t>(digit) >= escape.base) {
        return ErrorHere("a digit is missing in an escape sequence");
      }
      code = code * escape.base + static_cast<uint64_t>(digit);
    }
    const bool is_byte = escape.digits < 4;
    if (code > (is_byte ? 0xffU : 0x10ffffU)) {
      return ErrorHere("the number of an escape sequence is too large");
    }
    if (is_byte) {
      value.push_back(static_cast<char>(code));
    } else {
      AppendUtf8(static_cast<uint32_t>(code), value);
    }
    return OkStatus();
  }

  Rune Peek() const {
    if (at_ >= text_.size()) {
      return kEnd;
    }
    const Rune rune = DecodeUtf8(text_.substr(at_)).rune;
    return rune == 0 ? kIllegal : rune;
  }
  void Take() { at_ += DecodeUtf8(text_.substr(at_)).bytes; }
  void SkipSpace() {
    while (IsSpace(Peek())) {
      Take();
    }
  }
  Status ErrorHere(std::string_view what) const {
    return MakeError(StatusCode::kInvalidArgument,
                     fmt::format("filter \"{}\", byte {}: {}", text_, at_, what));
  }

  std::string_view text_;
  size_t at_ = 0;
};

StatusOr<Filter> Filter::Parse(std::span<const std::string> texts) {
  // Far above any real filter; keeps one call from costing minutes.
  constexpr size_t kMaxBytes = 64 << 10;
  Filter filter;
  for (const std::string& text : texts) {
    if (text.size() > kMaxBytes) {
      return MakeError(StatusCode::kInvalidArgument,
                       fmt::format("a filter of {} bytes; {} are allowed", text.size(), kMaxBytes));
    }
    if (text.empty()) {
      filter.any_of_.emplace_back();
      continue;
    }
    ASSIGN_OR_RETURN(AllOf all, Parser(text).Parse());
    filter.any_of_.push_back(std::move(all));
  }
  if (texts.empty()) {
    filter.any_of_.emplace_back();
  }
  return filter;
}

namespace {

std::string_view NameOf(Kind kind) {
  switch (kind) {
    case Kind::kView:
      return "view";
    case Kind::kActive:
      return "active";
    case Kind::kCommitted:
      return "committed";
  }
  return "";
}

constexpr std::string_view kLabels = "labels";

// The field's value; none when the snapshot has no such field.
std::optional<std::string_view> FieldOf(const Info& info, const std::string& field,
                                        const std::string& key) {
  if (field == "name") return info.name;
  if (field == "parent") return info.parent;
  if (field == "kind") return NameOf(info.kind);
  if (field == kLabels) {
    if (const auto label = info.labels.find(key); label != info.labels.end()) {
      return label->second;
    }
  }
  return std::nullopt;
}

}  // namespace

bool Filter::Selector::Matches(const Info& info) const {
  const std::optional<std::string_view> found = FieldOf(info, field, key);
  switch (op) {
    case Operator::kPresent:
      return found.has_value();
    case Operator::kEqual:
      return found.has_value() && *found == value;
    case Operator::kNotEqual:
      return found.value_or("") != value;
    case Operator::kMatches:
      return expression->FoundIn(found.value_or(""));
  }
  return false;
}

bool Filter::Matches(const Info& info) const {
  return std::ranges::any_of(any_of_, [&info](const AllOf& all) {
    return std::ranges::all_of(
        all, [&info](const Selector& selector) { return selector.Matches(info); });
  });
}

std::optional<std::string> Filter::LabelOfAll(std::string_view key) const {
  if (any_of_.size() != 1) {
    return std::nullopt;
  }
  const auto found = std::ranges::find_if(any_of_.front(), [key](const Selector& selector) {
    return selector.op == Operator::kEqual && selector.field == kLabels && selector.key == key;
  });
  return found == any_of_.front().end() ? std::nullopt : std::optional(found->value);
}

}  // namespace starling::snapshotter
