#pragma once

#include <string>
#include <vector>

#include "base/status.h"
#include "credentials/aws_signature.h"
#include "credentials/environment.h"
#include "registry/http_transport.h"

namespace starling::credentials {

/// Where a service of AWS is asked: what AWS_ENDPOINT_URL_`service` says ("STS", "ECR"), else
/// AWS_ENDPOINT_URL, else `usual`.
std::string AwsEndpoint(const Environment& environment, const std::string& service,
                        std::string usual);

/// The domain of AWS's services in `region`: "amazonaws.com", or China's.
std::string AwsDomain(const std::string& region);

/// A signed POST of `body` to `url`, whose `headers` are signed, too.
StatusOr<registry::HttpRequest> SignedPost(const std::string& url,
                                           std::vector<registry::Header> headers, Bytes body,
                                           const AwsKeys& keys, const AwsScope& scope);

}  // namespace starling::credentials
