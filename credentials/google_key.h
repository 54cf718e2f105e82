#pragma once

#include <string>
#include <string_view>
#include <variant>

#include "base/bytes.h"
#include "base/status.h"

namespace starling::credentials {

inline constexpr std::string_view kGoogleTokenUri = "https://oauth2.googleapis.com/token";

/// A machine's identity: it signs for itself.
struct GoogleServiceAccount {
  std::string client_email;
  std::string private_key_id;
  std::string private_key;  // PEM
  std::string token_uri;
};

/// A person's: what `gcloud auth application-default login` writes.
struct GoogleUser {
  std::string client_id;
  std::string client_secret;
  std::string refresh_token;
  std::string token_uri;
};

using GoogleKey = std::variant<GoogleServiceAccount, GoogleUser>;

/// Reads a key file of Google's. Errors name a key of the JSON, never its value:
/// kInvalidArgument for what is no such file, kUnimplemented for other kinds (external_account,
/// ...). A token_uri that is not encrypted is refused. Source: Google AIP-4112 and AIP-4113.
StatusOr<GoogleKey> ParseGoogleKey(ByteSpan json);

}  // namespace starling::credentials
