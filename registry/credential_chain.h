#pragma once

#include <map>
#include <string>
#include <utility>
#include <vector>

#include "base/mutex.h"
#include "registry/credentials.h"

namespace starling::registry {

/// Sources of credentials in their order: the first that has some decides. Those that a registry
/// refused are passed over as long as a later source has others. Borrows the sources.
/// Threads: safe; blocks as the sources do.
class CredentialChain {
 public:
  struct Found {
    Credentials credentials;  // anonymous when no source has any
    /// Who was asked and what came of it, for messages; without secrets.
    std::string tried;
  };

  explicit CredentialChain(std::vector<CredentialSource*> sources) : sources_(std::move(sources)) {}

  Found Find(const CredentialRequest& request);
  /// `refused` came from Find and was not accepted.
  void Refused(const CredentialRequest& request, const Credentials& refused);

 private:
  using Key = std::pair<std::string, std::string>;
  static Key KeyOf(const CredentialRequest& request) {
    return {request.registry, request.repository};
  }
  bool WasRefused(const CredentialRequest& request, const Credentials& credentials);

  const std::vector<CredentialSource*> sources_;
  Mutex mutex_;  // leaf
  std::map<Key, std::vector<Credentials>> refused_ GUARDED_BY(mutex_);
};

}  // namespace starling::registry
