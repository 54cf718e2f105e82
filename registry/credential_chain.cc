#include "registry/credential_chain.h"

#include <algorithm>
#include <optional>

namespace starling::registry {
namespace {

// A repository whose refusals are forgotten costs one more request.
constexpr size_t kMaxRepositories = 1000;

}  // namespace

CredentialChain::Found CredentialChain::Find(const CredentialRequest& request) {
  std::string tried;
  std::optional<Credentials> last_resort;
  for (CredentialSource* source : sources_) {
    auto found = source->Find(request);
    if (found.status().code() == StatusCode::kNotFound && MessageOf(found.status()).empty()) {
      continue;
    }
    tried += tried.empty() ? "" : "; ";
    if (!found.ok()) {
      // Images that everybody may read must not need it; the message comes out if they do.
      tried += fmt::format("{} {}: {}", source->Name(),
                           found.status().code() == StatusCode::kNotFound ? "has none" : "failed",
                           MessageOf(found.status()));
    } else if (WasRefused(request, *found)) {
      tried += fmt::format("{} gave some, which were refused", source->Name());
      last_resort = last_resort ? std::move(last_resort) : *std::move(found);
    } else {
      tried += fmt::format("{} gave some", source->Name());
      return {.credentials = *std::move(found), .tried = std::move(tried)};
    }
  }
  if (tried.empty()) {
    tried = fmt::format("no source has credentials for {}", request.registry);
  }
  if (!last_resort) {
    return {.credentials = {}, .tried = std::move(tried)};
  }
  // All were refused: perhaps in an outage. From now on each may be tried again.
  MutexLock lock(mutex_);
  refused_.erase(KeyOf(request));
  return {.credentials = *std::move(last_resort), .tried = std::move(tried)};
}

void CredentialChain::Refused(const CredentialRequest& request, const Credentials& refused) {
  for (CredentialSource* source : sources_) {
    source->Refused(request, refused);
  }
  MutexLock lock(mutex_);
  if (refused_.size() >= kMaxRepositories) {
    refused_.clear();
  }
  std::vector<Credentials>& known = refused_[KeyOf(request)];
  // A source that gives others each time must not fill the memory.
  if (known.size() > sources_.size()) {
    known.erase(known.begin());
  }
  known.push_back(refused);
}

bool CredentialChain::WasRefused(const CredentialRequest& request, const Credentials& credentials) {
  MutexLock lock(mutex_);
  const auto found = refused_.find(KeyOf(request));
  return found != refused_.end() &&
         std::ranges::any_of(found->second, [&credentials](const Credentials& refused) {
           return refused.SameAs(credentials);
         });
}

}  // namespace starling::registry
