#include "dockerfile/syntax/values.h"

#include <algorithm>
#include <array>
#include <charconv>
#include <cmath>
#include <csignal>
#include <limits>
#include <utility>

#include "base/text.h"
#include "dockerfile/syntax/characters.h"

namespace starling::dockerfile::syntax {
namespace {

Status Invalid(std::string message) { return MakeError(StatusCode::kInvalidArgument, message); }

/// Takes digits and at most one point from the start of `text`.
std::optional<double> TakeDecimal(std::string_view& text) {
  const size_t end = std::min(text.find_first_not_of("0123456789."), text.size());
  double value = 0;
  const auto [at, error] =
      std::from_chars(text.data(), text.data() + end, value, std::chars_format::fixed);
  if (error != std::errc() || at != text.data() + end) {
    return std::nullopt;
  }
  text.remove_prefix(end);
  return value;
}

template <typename T>
std::optional<T> WholeNumber(std::string_view text, int base = 10) {
  T value = 0;
  const auto [at, error] = std::from_chars(text.data(), text.data() + text.size(), value, base);
  if (error != std::errc() || at != text.data() + text.size()) {
    return std::nullopt;
  }
  return value;
}

}  // namespace

StatusOr<std::chrono::nanoseconds> ParseDuration(std::string_view text) {
  constexpr std::pair<std::string_view, double> kUnits[] = {
      {"ns", 1}, {"us", 1e3}, {"µs", 1e3}, {"ms", 1e6}, {"s", 1e9}, {"m", 60e9}, {"h", 3600e9}};
  const auto refuse = [&] {
    return Invalid(fmt::format("'{}' is no duration such as 30s, 1m30s or 500ms", text));
  };
  std::string_view left = text;
  const bool negative = left.starts_with('-');
  if (negative || left.starts_with('+')) {
    left.remove_prefix(1);
  }
  if (left == "0") {
    return std::chrono::nanoseconds(0);
  }
  if (left.empty()) {
    return refuse();
  }
  double sum = 0;
  while (!left.empty()) {
    const std::optional<double> number = TakeDecimal(left);
    const size_t end = std::min(left.find_first_of("0123456789."), left.size());
    const auto* unit = std::find_if(std::begin(kUnits), std::end(kUnits), [&](const auto& known) {
      return known.first == left.substr(0, end);
    });
    if (!number || unit == std::end(kUnits)) {
      return refuse();
    }
    sum += *number * unit->second;
    left.remove_prefix(end);
  }
  if (sum > 9.2e18) {
    return refuse();
  }
  return std::chrono::nanoseconds(std::llround(negative ? -sum : sum));
}

StatusOr<uint64_t> ParseSize(std::string_view text) {
  std::string_view left = text;
  const std::optional<double> number = TakeDecimal(left);
  std::string unit = LowerCase(TrimSpace(left));
  int shift = 0;
  if (unit.size() == 3 && unit.ends_with("ib")) {
    unit.resize(1);
  } else if (unit.size() == 2 && unit.ends_with('b')) {
    unit.resize(1);
  }
  const size_t factor = std::string_view("bkmgtp").find(unit);
  if (!number || unit.size() > 1 || (!unit.empty() && factor == std::string_view::npos)) {
    return Invalid(fmt::format("'{}' is no size such as 64m or 1.5g", text));
  }
  shift = unit.empty() ? 0 : static_cast<int>(factor) * 10;
  const double bytes = std::ldexp(*number, shift);
  if (bytes > 9.2e18) {
    return Invalid(fmt::format("the size '{}' is too large", text));
  }
  return static_cast<uint64_t>(bytes);
}

StatusOr<bool> ParseBool(std::string_view text) {
  for (const std::string_view yes : {"1", "t", "T", "true", "TRUE", "True"}) {
    if (text == yes) {
      return true;
    }
  }
  for (const std::string_view no : {"0", "f", "F", "false", "FALSE", "False"}) {
    if (text == no) {
      return false;
    }
  }
  return Invalid(fmt::format("'{}' is neither true nor false", text));
}

StatusOr<ModeChange> ParseModeChange(std::string_view text) {
  const auto refuse = [&] {
    return Invalid(fmt::format(
        "'{}' is no mode: octal from 0 to 7777, or symbolic such as u=rwX,go=rX", text));
  };
  ModeChange change;
  if (!text.empty() && text.find_first_not_of("0123456789") == std::string_view::npos) {
    change.octal = WholeNumber<uint32_t>(text, 8);
    if (!change.octal || *change.octal > 07777) {
      return refuse();
    }
    return change;
  }
  std::string_view left = text;
  while (true) {
    const size_t who_end = std::min(left.find_first_not_of("ugoa"), left.size());
    const std::string who(left.substr(0, who_end));
    left.remove_prefix(who_end);
    bool any = false;
    while (!left.empty() && std::string_view("+-=").find(left.front()) != std::string_view::npos) {
      const char operation = left.front();
      left.remove_prefix(1);
      const bool copies =
          !left.empty() && std::string_view("ugo").find(left.front()) != std::string_view::npos;
      const size_t end = copies ? 1 : std::min(left.find_first_not_of("rwxXst"), left.size());
      change.clauses.push_back({who, operation, std::string(left.substr(0, end))});
      left.remove_prefix(end);
      any = true;
    }
    if (!any) {
      return refuse();
    }
    if (left.empty()) {
      return change;
    }
    if (!left.starts_with(',')) {
      return refuse();
    }
    left.remove_prefix(1);
  }
}

StatusOr<int> ParseSignal(std::string_view text) {
  constexpr std::pair<std::string_view, int> kSignals[] = {
      {"ABRT", SIGABRT}, {"ALRM", SIGALRM}, {"BUS", SIGBUS},       {"CHLD", SIGCHLD},
      {"CLD", SIGCHLD},  {"CONT", SIGCONT}, {"FPE", SIGFPE},       {"HUP", SIGHUP},
      {"ILL", SIGILL},   {"INT", SIGINT},   {"IO", SIGIO},         {"IOT", SIGIOT},
      {"KILL", SIGKILL}, {"PIPE", SIGPIPE}, {"POLL", SIGPOLL},     {"PROF", SIGPROF},
      {"PWR", SIGPWR},   {"QUIT", SIGQUIT}, {"SEGV", SIGSEGV},     {"STKFLT", SIGSTKFLT},
      {"STOP", SIGSTOP}, {"SYS", SIGSYS},   {"TERM", SIGTERM},     {"TRAP", SIGTRAP},
      {"TSTP", SIGTSTP}, {"TTIN", SIGTTIN}, {"TTOU", SIGTTOU},     {"URG", SIGURG},
      {"USR1", SIGUSR1}, {"USR2", SIGUSR2}, {"VTALRM", SIGVTALRM}, {"WINCH", SIGWINCH},
      {"XCPU", SIGXCPU}, {"XFSZ", SIGXFSZ}};
  // The kernel's real-time signals; the C library keeps the first two, as Docker counts them.
  constexpr int kRealTimeFirst = 34;
  constexpr int kRealTimeLast = 64;
  const auto refuse = [&] { return Invalid(fmt::format("'{}' is no signal", text)); };
  if (const auto number = WholeNumber<int>(text)) {
    if (*number < 1 || *number > kRealTimeLast) {
      return refuse();
    }
    return *number;
  }
  const std::string name = UpperCase(text);
  std::string_view rest = name;
  if (rest.starts_with("SIG")) {
    rest.remove_prefix(3);
  }
  for (const auto& [known, number] : kSignals) {
    if (rest == known) {
      return number;
    }
  }
  const bool from_first = rest.starts_with("RTMIN");
  if (from_first || rest.starts_with("RTMAX")) {
    rest.remove_prefix(5);
    int offset = 0;
    if (!rest.empty()) {
      const auto number = WholeNumber<int>(rest.substr(1));
      if (rest.front() != (from_first ? '+' : '-') || !number || *number < 0) {
        return refuse();
      }
      offset = *number;
    }
    if (offset > kRealTimeLast - kRealTimeFirst) {
      return refuse();
    }
    return from_first ? kRealTimeFirst + offset : kRealTimeLast - offset;
  }
  return refuse();
}

StatusOr<PortRange> ParsePort(std::string_view text) {
  const auto refuse = [&](std::string_view why) {
    return Invalid(fmt::format("'{}' is no port: {}", text, why));
  };
  PortRange range;
  const size_t slash = text.rfind('/');
  std::string_view ports = text.substr(0, slash);
  range.protocol = "tcp";
  if (slash != std::string_view::npos && slash + 1 < text.size()) {
    const std::string_view written = text.substr(slash + 1);
    range.protocol = LowerCase(written);
    range.odd_protocol_case = range.protocol != written;
  }
  if (range.protocol != "tcp" && range.protocol != "udp" && range.protocol != "sctp") {
    return refuse("the protocol is tcp, udp or sctp");
  }
  if (const size_t colon = ports.rfind(':'); colon != std::string_view::npos) {
    range.has_host_part = true;
    ports.remove_prefix(colon + 1);
  }
  if (ports.empty()) {
    return refuse("the number is missing");
  }
  const size_t dash = ports.find('-');
  const auto first = WholeNumber<uint16_t>(ports.substr(0, dash));
  const auto last =
      dash == std::string_view::npos ? first : WholeNumber<uint16_t>(ports.substr(dash + 1));
  if (!first || !last) {
    return refuse("a port is a number up to 65535, or two with a dash between");
  }
  if (*first > *last) {
    return refuse("the range ends before it begins");
  }
  range.first = *first;
  range.last = *last;
  return range;
}

}  // namespace starling::dockerfile::syntax
