#pragma once

#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "base/bytes.h"
#include "base/status.h"
#include "credentials/source_dependencies.h"
#include "registry/credentials.h"

namespace starling::credentials {

/// What a secret's text says.
struct SecretContent {
  registry::Credentials login;  // anonymous when it says something else
  Environment variables;        // REGISTRY_PASSWORD, AWS_ACCESS_KEY_ID, SERVICE_ACCOUNT_JSON, ...
  std::string docker_config;    // a whole config.json
};

/// Reads "USER:PASSWORD", or a JSON object: {"username": .., "password": ..}, variables and their
/// values, a docker config.json, or a key file of Google's. Errors hold no part of it.
StatusOr<SecretContent> ParseSecret(ByteSpan text);

/// The text of the secret `name`, "env:VARIABLE" or "file:PATH". Errors do not repeat what follows
/// an unknown kind: it may be the secret itself.
StatusOr<Bytes> ReadSecret(const std::string& name, const Environment& environment,
                           FileSystem& files);

/// The credentials of a secret that was named for one registry, and go to no other.
/// Threads: safe; blocks as the sources of clouds do.
class NamedSecret : public registry::CredentialSource {
 public:
  /// Reads the secret `name`, see ReadSecret. Nothing of the machine is looked at
  /// but `dependencies.environment`: for env:, for endpoints, and for AWS_WEB_IDENTITY_TOKEN_FILE,
  /// which a role in the secret may leave to the machine.
  static StatusOr<std::unique_ptr<NamedSecret>> Open(const std::string& name, std::string registry,
                                                     const SourceDependencies& dependencies);
  /// The same of a text that is here; `name` is for messages.
  static StatusOr<std::unique_ptr<NamedSecret>> OfText(const std::string& name, ByteSpan text,
                                                       std::string registry,
                                                       const SourceDependencies& dependencies);

  std::string Name() const override { return "secret " + name_; }
  StatusOr<registry::Credentials> Find(const registry::CredentialRequest& request) override;
  void Refused(const registry::CredentialRequest& request,
               const registry::Credentials& refused) override;

 private:
  NamedSecret(std::string name, std::string registry, SecretContent content,
              const SourceDependencies& dependencies);

  const std::string name_;
  const std::string registry_;
  const SecretContent content_;
  std::vector<std::unique_ptr<registry::CredentialSource>> sources_;
};

}  // namespace starling::credentials
