#include "registry/refused_credentials.h"

#include <algorithm>

namespace starling::registry {

void RefusedCredentials::Add(const CredentialRequest& request, const Credentials& refused) {
  MutexLock lock(mutex_);
  if (refused_.size() >= kMaxRepositories) {
    refused_.clear();
  }
  std::vector<Credentials>& known = refused_[KeyOf(request)];
  // A source that gives others each time must not fill the memory.
  if (known.size() >= max_of_repository_) {
    known.erase(known.begin());
  }
  known.push_back(refused);
}

bool RefusedCredentials::Contains(const CredentialRequest& request,
                                  const Credentials& credentials) {
  MutexLock lock(mutex_);
  const auto found = refused_.find(KeyOf(request));
  return found != refused_.end() &&
         std::ranges::any_of(found->second, [&credentials](const Credentials& refused) {
           return refused.SameAs(credentials);
         });
}

void RefusedCredentials::Forget(const CredentialRequest& request) {
  MutexLock lock(mutex_);
  refused_.erase(KeyOf(request));
}

}  // namespace starling::registry
