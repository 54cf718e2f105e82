#include "base/timestamp.h"

#include <fmt/chrono.h>

namespace starling {
namespace {

/// A fixed number of digits at `at`, or -1.
int Digits(std::string_view text, size_t at, size_t count) {
  int value = 0;
  for (size_t i = at; i < at + count; ++i) {
    if (i >= text.size() || text[i] < '0' || text[i] > '9') {
      return -1;
    }
    value = value * 10 + (text[i] - '0');
  }
  return value;
}

bool InRange(int value, int most) { return value >= 0 && value <= most; }

/// Seconds east of UTC of "Z" or "+hh:mm".
std::optional<int> ParseZone(std::string_view text) {
  if (text == "Z") {
    return 0;
  }
  if (text.size() != 6 || (text[0] != '+' && text[0] != '-') || text[3] != ':') {
    return std::nullopt;
  }
  const int hours = Digits(text, 1, 2);
  const int minutes = Digits(text, 4, 2);
  if (!InRange(hours, 23) || !InRange(minutes, 59)) {
    return std::nullopt;
  }
  const int seconds = hours * 3600 + minutes * 60;
  return text[0] == '+' ? seconds : -seconds;
}

}  // namespace

std::optional<int64_t> ParseTimestamp(std::string_view text) {
  constexpr std::string_view kPattern = "0000-00-00T00:00:00";
  if (text.size() <= kPattern.size()) {
    return std::nullopt;
  }
  for (const size_t i : {4, 7, 10, 13, 16}) {
    if (text[i] != kPattern[i]) {
      return std::nullopt;
    }
  }
  const int year = Digits(text, 0, 4);
  const int month = Digits(text, 5, 2);
  const int day = Digits(text, 8, 2);
  const int hour = Digits(text, 11, 2);
  const int minute = Digits(text, 14, 2);
  const int second = Digits(text, 17, 2);
  if (year < 0 || month < 0 || day < 0 || !InRange(hour, 23) || !InRange(minute, 59) ||
      !InRange(second, 60)) {
    return std::nullopt;
  }
  const std::chrono::year_month_day date{std::chrono::year(year),
                                         std::chrono::month(static_cast<unsigned>(month)),
                                         std::chrono::day(static_cast<unsigned>(day))};
  if (!date.ok()) {
    return std::nullopt;
  }
  size_t zone_at = kPattern.size();
  if (text[zone_at] == '.') {
    const size_t end = text.find_first_not_of("0123456789", zone_at + 1);
    if (end == std::string_view::npos || end == zone_at + 1) {
      return std::nullopt;
    }
    zone_at = end;
  }
  const std::optional<int> zone = ParseZone(text.substr(zone_at));
  if (!zone) {
    return std::nullopt;
  }
  const int64_t days = std::chrono::sys_days(date).time_since_epoch().count();
  return days * 86400 + hour * 3600 + minute * 60 + second - *zone;
}

std::string TimestampText(std::chrono::system_clock::time_point time) {
  return fmt::format("{:%Y-%m-%dT%H:%M:%SZ}",
                     fmt::gmtime(std::chrono::system_clock::to_time_t(time)));
}

}  // namespace starling
