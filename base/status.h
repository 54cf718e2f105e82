/// Results of operations that can fail. The only header that knows Abseil.
///
///   StatusOr<uint64_t> ParseSize(std::string_view text);
///   ASSIGN_OR_RETURN(const uint64_t size_bytes, ParseSize(text));
///   RETURN_IF_ERROR(file.Resize(size_bytes));
///
/// Codes say what the caller can do: kUnavailable is worth a retry; kDataLoss is a broken digest or
/// format, never retry; kResourceExhausted is a full disk or a 429; kUnauthenticated and
/// kPermissionDenied are 401 and 403; kInvalidArgument is bad input; kNotFound and kAlreadyExists
/// speak of names. The codes are numerically gRPC's.
#pragma once

#include <absl/status/status.h>
#include <absl/status/statusor.h>
#include <fmt/format.h>

#include <string>
#include <string_view>
#include <utility>

namespace starling {

using Status = absl::Status;
using StatusCode = absl::StatusCode;
template <typename T>
using StatusOr = absl::StatusOr<T>;

inline Status OkStatus() { return absl::OkStatus(); }

inline Status MakeError(StatusCode code, std::string_view message) {
  return Status(code, absl::string_view(message.data(), message.size()));
}

/// The message alone, without its code. Borrowed from `status`.
inline std::string_view MessageOf(const Status& status) {
  return {status.message().data(), status.message().size()};
}

/// "unavailable: connection refused": what a person should read.
std::string Describe(const Status& status);

/// The same code with "`context`: " in front of the message. OK stays OK.
Status Annotate(const Status& status, std::string_view context);

/// An error for a failed system call, from `error_number` (an errno value):
/// ENOENT is kNotFound, EEXIST kAlreadyExists, ENOSPC and EDQUOT kResourceExhausted,
/// EACCES, EPERM and EROFS kPermissionDenied, EBUSY kFailedPrecondition, the rest kInternal.
Status ErrnoError(int error_number, std::string_view what);

}  // namespace starling

#define STARLING_CONCAT_INNER(a, b) a##b
#define STARLING_CONCAT(a, b) STARLING_CONCAT_INNER(a, b)

/// Evaluates a Status expression and returns it from the function when it is an error.
#define RETURN_IF_ERROR(expression)                                             \
  do {                                                                          \
    if (::starling::Status status_macro_ = (expression); !status_macro_.ok()) { \
      return status_macro_;                                                     \
    }                                                                           \
  } while (false)

/// ASSIGN_OR_RETURN(declaration, StatusOr expression): declares and moves the value, or returns.
#define ASSIGN_OR_RETURN(declaration, expression) \
  STARLING_ASSIGN_OR_RETURN(STARLING_CONCAT(status_or_, __LINE__), declaration, expression)
#define STARLING_ASSIGN_OR_RETURN(result, declaration, expression) \
  auto result = (expression);                                      \
  if (!result.ok()) {                                              \
    return result.status();                                        \
  }                                                                \
  declaration = *std::move(result)
