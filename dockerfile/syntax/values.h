/// Small values inside of instructions: durations, modes, signals, ports. All of them are checked
/// after their variables were expanded.
#pragma once

#include <chrono>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "base/status.h"

namespace starling::dockerfile::syntax {

/// As Go writes durations: "1h30m", "1.5s", "100ms". Errors: kInvalidArgument.
StatusOr<std::chrono::nanoseconds> ParseDuration(std::string_view text);

/// "64m", "1.5GiB", "1024": factors of 1024, whatever the spelling. Errors: kInvalidArgument.
StatusOr<uint64_t> ParseSize(std::string_view text);

/// "true", "1", "t" and "false", "0", "f", in Go's cases. Errors: kInvalidArgument.
StatusOr<bool> ParseBool(std::string_view text);

/// What --chmod does to a mode.
struct ModeChange {
  /// One of u=rw, go-x, +X: for the classes `who`, do `operation` with `permissions`.
  struct Clause {
    std::string who;  // of "ugoa"; empty is a without regard to the umask
    char operation = '=';
    std::string permissions;  // of "rwxXst", or one of "ugo"
  };
  /// Octal: replaces all of 07777. Else `clauses` in order.
  std::optional<uint32_t> octal;
  std::vector<Clause> clauses;
};
/// Errors: kInvalidArgument.
StatusOr<ModeChange> ParseModeChange(std::string_view text);

/// The signal's number: "SIGTERM", "term", "15", "RTMIN+3". Errors: kInvalidArgument.
StatusOr<int> ParseSignal(std::string_view text);

/// One word of EXPOSE.
struct PortRange {
  uint16_t first = 0;
  uint16_t last = 0;
  std::string protocol;  // tcp, udp or sctp
  /// An address or a port of the host stood in front, which says nothing in an image.
  bool has_host_part = false;
  /// The protocol was not in lower case.
  bool odd_protocol_case = false;
};
/// Errors: kInvalidArgument.
StatusOr<PortRange> ParsePort(std::string_view text);

}  // namespace starling::dockerfile::syntax
