#pragma once

#include <string>
#include <string_view>

#include "base/bytes.h"
#include "base/status.h"

namespace starling::credentials {

/// Base64 of RFC 4648, section 5, without padding.
std::string Base64UrlEncode(ByteSpan bytes);

/// A JSON web token of `header` and `claims` (JSON texts), signed with RSASSA-PKCS1-v1_5 and
/// SHA-256 by the private key `pem` (PKCS #8 or PKCS #1). kInvalidArgument, without any of the
/// key, when that is no usable RSA key of 2048 bits or more. Source: RFC 7515, RFC 7518 "RS256".
StatusOr<std::string> SignRs256(std::string_view header, std::string_view claims,
                                std::string_view pem);

}  // namespace starling::credentials
