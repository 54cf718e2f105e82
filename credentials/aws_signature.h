#pragma once

#include <chrono>
#include <string>
#include <utility>
#include <vector>

#include "base/bytes.h"
#include "registry/http_transport.h"

namespace starling::credentials {

/// What signs requests to AWS. Never logged.
struct AwsKeys {
  std::string access_key_id;
  std::string secret_access_key;
  std::string session_token;  // of temporary keys
  std::chrono::steady_clock::time_point renew_at = std::chrono::steady_clock::time_point::max();
};

/// A request as its signature sees it.
struct AwsRequest {
  std::string method = "POST";
  std::string host;
  std::string path = "/";                                  // as sent, without "." and ".."
  std::vector<std::pair<std::string, std::string>> query;  // not encoded
  std::vector<registry::Header> headers;  // those to be signed, but for Host and X-Amz-*
  Bytes body;
};

/// Where and when a signature counts.
struct AwsScope {
  std::string region;
  std::string service;
  std::chrono::system_clock::time_point time;
};

/// The headers that sign `request` with Signature Version 4: X-Amz-Date, X-Amz-Security-Token when
/// the keys are temporary, Authorization. Pure.
/// Source: AWS, "Signature Version 4 for API requests", "Create a signed AWS API request".
std::vector<registry::Header> SignAwsRequest(const AwsRequest& request, const AwsKeys& keys,
                                             const AwsScope& scope);

}  // namespace starling::credentials
