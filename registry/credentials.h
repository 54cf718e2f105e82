#pragma once

#include <chrono>
#include <string>

#include "base/status.h"

namespace starling::registry {

/// A user's name and password, an identity token to trade (OAuth2 refresh token), or a token to
/// show as it is. Never logged.
struct Credentials {
  std::string username;
  std::string password;
  std::string identity_token;
  std::string registry_token;  // of no use where Basic is asked for
  /// From then on they are asked for anew; they do not say: never.
  std::chrono::steady_clock::time_point renew_at = std::chrono::steady_clock::time_point::max();

  bool anonymous() const {
    return password.empty() && identity_token.empty() && registry_token.empty();
  }
  /// Whether a registry would see a difference.
  bool SameAs(const Credentials& other) const {
    return username == other.username && password == other.password &&
           identity_token == other.identity_token && registry_token == other.registry_token;
  }
};

/// Whose credentials are wanted.
struct CredentialRequest {
  std::string registry;    // as references name it: "docker.io", "host:port"
  std::string repository;  // "library/ubuntu"; empty: the registry as a whole
};

/// A place that may know credentials. Threads: safe; may block (programs, files, services).
class CredentialSource {
 public:
  virtual ~CredentialSource() = default;
  /// For messages: "docker config /root/.docker/config.json".
  virtual std::string Name() const = 0;
  /// Errors: kNotFound, with the reason, when this source has none for `request`; without one when
  /// it never has any for such a registry, which nobody is told. Any other when it should have some
  /// and failed. No message holds a secret.
  virtual StatusOr<Credentials> Find(const CredentialRequest& request) = 0;
  /// `refused`, which Find gave, was not accepted: it must not come from memory again.
  virtual void Refused(const CredentialRequest& request, const Credentials& refused) {
    (void)request;
    (void)refused;
  }
};

}  // namespace starling::registry
