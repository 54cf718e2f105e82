#include "base/log.h"

#include <fmt/chrono.h>
#include <spdlog/sinks/stdout_sinks.h>
#include <spdlog/spdlog.h>

#include <chrono>
#include <iterator>

namespace starling::log {
namespace {

spdlog::level::level_enum SpdlogLevel(Level level) {
  switch (level) {
    case Level::kTrace:
      return spdlog::level::trace;
    case Level::kDebug:
      return spdlog::level::debug;
    case Level::kInfo:
      return spdlog::level::info;
    case Level::kWarning:
      return spdlog::level::warn;
    case Level::kError:
      return spdlog::level::err;
    case Level::kFatal:
      return spdlog::level::critical;
  }
  return spdlog::level::info;
}

std::string_view NameOf(Level level) {
  switch (level) {
    case Level::kTrace:
      return "trace";
    case Level::kDebug:
      return "debug";
    case Level::kInfo:
      return "info";
    case Level::kWarning:
      return "warning";
    case Level::kError:
      return "error";
    case Level::kFatal:
      return "fatal";
  }
  return "info";
}

// The message is the finished JSON line, so the pattern is the message alone.
spdlog::logger& Logger() {
  static const auto logger = [] {
    auto made = std::make_shared<spdlog::logger>("starling",
                                                 std::make_shared<spdlog::sinks::stderr_sink_mt>());
    made->set_pattern("%v");
    made->flush_on(spdlog::level::trace);
    return made;
  }();
  return *logger;
}

// Bytes from outside may not be UTF-8; they are escaped as Latin-1, so a line is always valid JSON.
void AppendJsonString(fmt::memory_buffer& line, std::string_view text) {
  line.push_back('"');
  for (const char c : text) {
    const auto code = static_cast<unsigned char>(c);
    if (c == '"' || c == '\\') {
      line.push_back('\\');
      line.push_back(c);
    } else if (code < 0x20 || code >= 0x7f) {
      fmt::format_to(std::back_inserter(line), "\\u{:04x}", code);
    } else {
      line.push_back(c);
    }
  }
  line.push_back('"');
}

}  // namespace

StatusOr<Level> ParseLevel(std::string_view name) {
  if (name == "trace") return Level::kTrace;
  if (name == "debug") return Level::kDebug;
  if (name == "info") return Level::kInfo;
  if (name == "warn" || name == "warning") return Level::kWarning;
  if (name == "error") return Level::kError;
  if (name == "fatal" || name == "panic") return Level::kFatal;
  return MakeError(StatusCode::kInvalidArgument,
                   fmt::format("unknown log level \"{}\": use trace, debug, info, warn, error or "
                               "fatal",
                               name));
}

void SetLevel(Level level) { Logger().set_level(SpdlogLevel(level)); }

void Write(Level level, std::string_view message, std::initializer_list<Field> fields) {
  if (!Logger().should_log(SpdlogLevel(level))) {
    return;
  }
  const auto now =
      std::chrono::time_point_cast<std::chrono::nanoseconds>(std::chrono::system_clock::now());
  const auto nanoseconds = now.time_since_epoch().count() % 1'000'000'000;
  fmt::memory_buffer line;
  fmt::format_to(
      std::back_inserter(line), "{{\"time\":\"{:%FT%T}.{:09d}Z\",\"level\":\"{}\",\"msg\":",
      fmt::gmtime(std::chrono::system_clock::to_time_t(now)), nanoseconds, NameOf(level));
  AppendJsonString(line, message);
  for (const Field& field : fields) {
    line.push_back(',');
    AppendJsonString(line, field.key);
    line.push_back(':');
    AppendJsonString(line, field.value);
  }
  line.push_back('}');
  Logger().log(SpdlogLevel(level), std::string_view(line.data(), line.size()));
}

}  // namespace starling::log
