/// Structured logging: one JSON object a line on standard error, with the keys of containerd's
/// logs ("time", "level", "msg", then the fields).
///
///   log::Warning("layer is not lazy", {{"layer", digest.ToString()}, {"error",
///   Describe(status)}});
///
/// Only the edges log (the gRPC handlers, the FUSE replies, the programs); below them, errors are
/// returned.
#pragma once

#include <initializer_list>
#include <string>
#include <string_view>
#include <utility>

#include "base/status.h"

namespace starling::log {

enum class Level { kTrace, kDebug, kInfo, kWarning, kError, kFatal };

struct Field {
  std::string_view key;
  std::string value;
};

/// "trace", "debug", "info", "warn" or "warning", "error", "fatal": the names logrus knows.
StatusOr<Level> ParseLevel(std::string_view name);
/// Drops everything below `level`. Threads: safe.
void SetLevel(Level level);

void Write(Level level, std::string_view message, std::initializer_list<Field> fields);

inline void Debug(std::string_view message, std::initializer_list<Field> fields = {}) {
  Write(Level::kDebug, message, fields);
}
inline void Info(std::string_view message, std::initializer_list<Field> fields = {}) {
  Write(Level::kInfo, message, fields);
}
inline void Warning(std::string_view message, std::initializer_list<Field> fields = {}) {
  Write(Level::kWarning, message, fields);
}
inline void Error(std::string_view message, std::initializer_list<Field> fields = {}) {
  Write(Level::kError, message, fields);
}

}  // namespace starling::log
