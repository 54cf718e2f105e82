#pragma once

#include <string>
#include <vector>

#include "base/status.h"

namespace starling::registry {

/// A user's name and password, or an identity token to trade (OAuth2 refresh token). Never logged.
struct Credentials {
  std::string username;
  std::string password;
  std::string identity_token;

  bool anonymous() const { return password.empty() && identity_token.empty(); }
};

/// A place that may know credentials. Threads: safe; may block (helpers are programs).
class CredentialSource {
 public:
  virtual ~CredentialSource() = default;
  /// For messages: "docker config /root/.docker/config.json".
  virtual std::string Name() const = 0;
  /// Anonymous credentials when this source has none for `registry` ("docker.io", "host:port");
  /// an error only when it should have some and failed.
  virtual StatusOr<Credentials> Find(const std::string& registry) = 0;
};

}  // namespace starling::registry
