#pragma once

#include <string>
#include <utility>

#include "credentials/environment.h"
#include "registry/credentials.h"

namespace starling::credentials {

/// REGISTRY_USERNAME and REGISTRY_PASSWORD, for the registry REGISTRY_HOST, or else for
/// `usual_registry`. Threads: safe.
class LoginVariables : public registry::CredentialSource {
 public:
  explicit LoginVariables(Environment environment, std::string usual_registry = "docker.io")
      : environment_(std::move(environment)), usual_registry_(std::move(usual_registry)) {}

  std::string Name() const override { return "REGISTRY_USERNAME and REGISTRY_PASSWORD"; }
  StatusOr<registry::Credentials> Find(const registry::CredentialRequest& request) override;

 private:
  const Environment environment_;
  const std::string usual_registry_;
};

/// Tokens that belong to one registry: GITHUB_TOKEN or GH_TOKEN for ghcr.io, NGC_API_KEY for
/// nvcr.io. Threads: safe.
class TokenVariables : public registry::CredentialSource {
 public:
  explicit TokenVariables(Environment environment) : environment_(std::move(environment)) {}

  std::string Name() const override { return "environment"; }
  StatusOr<registry::Credentials> Find(const registry::CredentialRequest& request) override;

 private:
  const Environment environment_;
};

}  // namespace starling::credentials
