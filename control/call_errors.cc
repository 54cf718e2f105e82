#include "control/call_errors.h"

namespace starling::control {

Status ResultOfCall(const grpc::Status& status, const std::string& address) {
  const auto code = static_cast<StatusCode>(status.error_code());
  if (code == StatusCode::kUnavailable) {
    return MakeError(code, fmt::format("nobody answers at {}: is starlingd running? (--address "
                                       "names its socket, --root a store without one)",
                                       address));
  }
  if (code == StatusCode::kUnimplemented) {
    return MakeError(code, fmt::format("{} is served by an older starling that does not know "
                                       "starling.control.v1: restart it",
                                       address));
  }
  return status.ok() ? OkStatus() : MakeError(code, status.error_message());
}

}  // namespace starling::control
