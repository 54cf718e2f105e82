#pragma once

#include <string_view>

#include "base/status.h"
#include "registry/http_transport.h"

namespace starling::registry {

/// The error that an HTTP answer other than success stands for, with the registry's own code and
/// message (bounded, printable): 401 kUnauthenticated, 403 kPermissionDenied, 404 kNotFound,
/// 416 kOutOfRange, 429 kResourceExhausted, 5xx kUnavailable, the rest kFailedPrecondition.
/// Source: OCI distribution specification, "Error Codes".
Status ErrorOfResponse(const HttpResponse& response, std::string_view context);

/// Whether one of the errors in the answer has the code `code` ("MANIFEST_BLOB_UNKNOWN").
bool NamesError(const HttpResponse& response, std::string_view code);

}  // namespace starling::registry
