#include "dockerfile/plan/history.h"

#include <fmt/format.h>
#include <fmt/ranges.h>

#include "dockerfile/syntax/characters.h"

namespace starling::dockerfile::plan {
namespace {

constexpr char32_t kFirstPrintable = 0x20;
constexpr char32_t kDelete = 0x7f;

void AppendQuoted(std::string& out, std::string_view text) {
  out += '"';
  while (!text.empty()) {
    const syntax::Character character = syntax::FirstCharacter(text);
    text.remove_prefix(character.bytes.size());
    switch (character.code) {
      case '"':
      case '\\':
        out += '\\';
        out += character.bytes;
        continue;
      case '\n':
        out += "\\n";
        continue;
      case '\t':
        out += "\\t";
        continue;
      case '\r':
        out += "\\r";
        continue;
      case '\a':
        out += "\\a";
        continue;
      case '\b':
        out += "\\b";
        continue;
      case '\f':
        out += "\\f";
        continue;
      case '\v':
        out += "\\v";
        continue;
      default:
        break;
    }
    const bool is_broken = character.code == syntax::kNoCharacter && character.bytes.size() == 1;
    if (is_broken || character.code < kFirstPrintable || character.code == kDelete) {
      out += fmt::format("\\x{:02x}", static_cast<unsigned char>(character.bytes.front()));
    } else {
      out += character.bytes;
    }
  }
  out += '"';
}

}  // namespace

std::string QuotedList(std::span<const std::string> words) {
  std::string out = "[";
  for (const std::string& word : words) {
    if (out.size() > 1) {
      out += ' ';
    }
    AppendQuoted(out, word);
  }
  return out + "]";
}

std::string PlainList(std::span<const std::string> words) {
  return fmt::format("[{}]", fmt::join(words, " "));
}

std::string DurationText(std::chrono::nanoseconds duration) {
  const int64_t total = duration.count();
  constexpr int64_t kMicrosecond = 1000;
  constexpr int64_t kMillisecond = 1000 * kMicrosecond;
  constexpr int64_t kSecond = 1000 * kMillisecond;
  constexpr int64_t kMinute = 60 * kSecond;
  constexpr int64_t kHour = 60 * kMinute;
  const auto with_fraction = [](int64_t whole, int64_t rest, int64_t unit) {
    std::string text = fmt::format("{}", whole);
    if (rest != 0) {
      std::string digits = fmt::format("{}", unit + rest).substr(1);
      digits.erase(digits.find_last_not_of('0') + 1);
      text += "." + digits;
    }
    return text;
  };
  if (total == 0) {
    return "0s";
  }
  if (total < kMicrosecond) {
    return fmt::format("{}ns", total);
  }
  if (total < kMillisecond) {
    return with_fraction(total / kMicrosecond, total % kMicrosecond, kMicrosecond) + "\u00b5s";
  }
  if (total < kSecond) {
    return with_fraction(total / kMillisecond, total % kMillisecond, kMillisecond) + "ms";
  }
  std::string text;
  if (total >= kHour) {
    text += fmt::format("{}h", total / kHour);
  }
  if (total >= kMinute) {
    text += fmt::format("{}m", total % kHour / kMinute);
  }
  return text + with_fraction(total % kMinute / kSecond, total % kSecond, kSecond) + "s";
}

std::string HealthText(const HealthCheck& check) {
  return fmt::format(
      "{{Test:{} Interval:{} Timeout:{} StartPeriod:{} StartInterval:{} Retries:{}}}",
      PlainList(check.test), DurationText(check.interval), DurationText(check.timeout),
      DurationText(check.start_period), DurationText(check.start_interval), check.retries);
}

}  // namespace starling::dockerfile::plan
