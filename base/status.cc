#include "base/status.h"

#include <cerrno>
#include <cstring>

namespace starling {
namespace {

std::string_view NameOf(StatusCode code) {
  switch (code) {
    case StatusCode::kOk:
      return "ok";
    case StatusCode::kCancelled:
      return "cancelled";
    case StatusCode::kInvalidArgument:
      return "invalid";
    case StatusCode::kDeadlineExceeded:
      return "timed out";
    case StatusCode::kNotFound:
      return "not found";
    case StatusCode::kAlreadyExists:
      return "already exists";
    case StatusCode::kPermissionDenied:
      return "permission denied";
    case StatusCode::kResourceExhausted:
      return "out of resources";
    case StatusCode::kFailedPrecondition:
      return "not possible now";
    case StatusCode::kAborted:
      return "aborted";
    case StatusCode::kOutOfRange:
      return "out of range";
    case StatusCode::kUnimplemented:
      return "not supported";
    case StatusCode::kUnavailable:
      return "unavailable";
    case StatusCode::kDataLoss:
      return "corrupt data";
    case StatusCode::kUnauthenticated:
      return "not authenticated";
    default:
      return "failed";
  }
}

StatusCode CodeOf(int error_number) {
  switch (error_number) {
    case ENOENT:
      return StatusCode::kNotFound;
    case EEXIST:
      return StatusCode::kAlreadyExists;
    case ENOSPC:
    case EDQUOT:
      return StatusCode::kResourceExhausted;
    case EACCES:
    case EPERM:
    case EROFS:
      return StatusCode::kPermissionDenied;
    case EBUSY:
      return StatusCode::kFailedPrecondition;
    default:
      return StatusCode::kInternal;
  }
}

}  // namespace

std::string Describe(const Status& status) {
  return fmt::format("{}: {}", NameOf(status.code()), MessageOf(status));
}

Status Annotate(const Status& status, std::string_view context) {
  if (status.ok()) {
    return status;
  }
  return MakeError(status.code(), fmt::format("{}: {}", context, MessageOf(status)));
}

Status ErrnoError(int error_number, std::string_view what) {
  return MakeError(CodeOf(error_number), fmt::format("{}: {}", what, std::strerror(error_number)));
}

}  // namespace starling
