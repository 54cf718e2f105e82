/// What a command that failed at a registry ends with, so that scripts can tell what to do.
#pragma once

#include "base/status.h"

namespace starling::cli {

inline constexpr const char* kExitCodesHelp =
    "Exit codes: 0 done, 1 failed, 3 not found, 4 not allowed (check the login), 5 not now (the "
    "registry is\naway or limits requests: the same again later may do).";

inline int ExitCodeOf(const Status& result) {
  switch (result.code()) {
    case StatusCode::kOk:
      return 0;
    case StatusCode::kNotFound:
      return 3;
    case StatusCode::kUnauthenticated:
    case StatusCode::kPermissionDenied:
      return 4;
    case StatusCode::kUnavailable:
    case StatusCode::kDeadlineExceeded:
    case StatusCode::kResourceExhausted:
      return 5;
    default:
      return 1;
  }
}

}  // namespace starling::cli
