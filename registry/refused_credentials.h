#pragma once

#include <map>
#include <string>
#include <utility>
#include <vector>

#include "base/mutex.h"
#include "registry/credentials.h"

namespace starling::registry {

/// Which credentials were not accepted for which repository, so that others are tried first. In
/// memory, a bounded number. Threads: safe; does not block.
class RefusedCredentials {
 public:
  /// A repository whose refusals are forgotten costs one more request.
  static constexpr size_t kMaxRepositories = 1000;

  /// Of each repository the latest `max_of_repository` are known.
  explicit RefusedCredentials(size_t max_of_repository) : max_of_repository_(max_of_repository) {}

  void Add(const CredentialRequest& request, const Credentials& refused);
  bool Contains(const CredentialRequest& request, const Credentials& credentials);
  /// From now on each may be tried again.
  void Forget(const CredentialRequest& request);

 private:
  using Key = std::pair<std::string, std::string>;
  static Key KeyOf(const CredentialRequest& request) {
    return {request.registry, request.repository};
  }

  const size_t max_of_repository_;
  Mutex mutex_;  // leaf
  std::map<Key, std::vector<Credentials>> refused_ GUARDED_BY(mutex_);
};

}  // namespace starling::registry
