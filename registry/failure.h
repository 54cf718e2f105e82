#pragma once

#include <optional>
#include <string>

#include "base/status.h"
#include "registry/http_transport.h"
#include "registry/rate_limit.h"

namespace starling::registry {

/// A request that failed, and what is known of it. The message of its error has one shape:
/// "REGISTRY/REPOSITORY: WHAT: PROBLEM; CREDENTIALS TRIED; WHAT WOULD HELP".
struct FailedRequest {
  std::string repository;  // "docker.io/library/ubuntu"
  std::string what;        // "manifest latest", "blob sha256:...: upload"
  std::string url;         // of the registry's API, for messages
  std::string registry;    // whose credentials count
  std::string tried;       // where credentials were looked for; without secrets
  std::optional<RateLimit> limit;
  /// Where the certificates for these references are kept; empty: nowhere.
  std::string certificates_directory;
};

/// The error for an answer other than the one hoped for.
Status FailureOf(const FailedRequest& request, const HttpResponse& response);

/// The error for a request without an answer, or with one that cannot be used; of the same code.
Status FailureOf(const FailedRequest& request, const Status& error);

}  // namespace starling::registry
