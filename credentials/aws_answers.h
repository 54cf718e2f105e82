/// What the services of AWS answer. Pure; the texts come from outside.
#pragma once

#include <chrono>
#include <string>

#include "base/bytes.h"
#include "base/status.h"
#include "credentials/aws_signature.h"

namespace starling::credentials {

/// Keys that end.
struct AwsTemporaryKeys {
  AwsKeys keys;  // without renew_at
  std::chrono::system_clock::time_point expires_at;
};

/// A login of ECR: user name, password and their end.
struct EcrLogin {
  std::string username;
  std::string password;
  std::chrono::system_clock::time_point expires_at;
};

/// When keys or a login end: a time in RFC 3339. kInvalidArgument for others.
StatusOr<std::chrono::system_clock::time_point> ParseEnd(std::string_view text);

/// JSON of the instance's and the container's metadata services. Errors hold no part of it.
StatusOr<AwsTemporaryKeys> ParseAwsKeys(ByteSpan json);
/// XML of STS AssumeRole and AssumeRoleWithWebIdentity. Errors hold no part of it.
StatusOr<AwsTemporaryKeys> ParseStsAnswer(ByteSpan xml);
/// "CODE: message" of an error of STS, printable, the first 200 bytes of either, with "..." where
/// there is more; empty when there is none to read.
std::string StsErrorWords(ByteSpan xml);
/// JSON of GetAuthorizationToken, of ECR and of the public ECR. Errors hold no part of it.
StatusOr<EcrLogin> ParseEcrLogin(ByteSpan json);

}  // namespace starling::credentials
