#pragma once

#include <string>
#include <utility>
#include <vector>

#include "registry/credentials.h"
#include "registry/refused_credentials.h"

namespace starling::registry {

/// Sources of credentials in their order: the first that has some decides. Those that a registry
/// refused are passed over as long as a later source has others. Borrows the sources.
/// Threads: safe; blocks as the sources do.
class CredentialChain {
 public:
  struct Found {
    Credentials credentials;  // anonymous when no source has any
    std::string source;       // whose they are, by its name
    /// Who was asked and what came of it, for messages; without secrets.
    std::string tried;
  };

  explicit CredentialChain(std::vector<CredentialSource*> sources)
      : sources_(std::move(sources)), refused_(sources_.size() + 1) {}

  Found Find(const CredentialRequest& request);
  /// `refused` came from Find and was not accepted.
  void Refused(const CredentialRequest& request, const Credentials& refused);

 private:
  const std::vector<CredentialSource*> sources_;
  RefusedCredentials refused_;
};

}  // namespace starling::registry
