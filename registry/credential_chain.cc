#include "registry/credential_chain.h"

#include <optional>

namespace starling::registry {

CredentialChain::Found CredentialChain::Find(const CredentialRequest& request) {
  std::string tried;
  std::optional<Found> last_resort;
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
    } else if (refused_.Contains(request, *found)) {
      tried += fmt::format("{} gave some, which were refused", source->Name());
      if (!last_resort) {
        last_resort = {.credentials = *std::move(found), .source = source->Name(), .tried = {}};
      }
    } else {
      tried += fmt::format("{} gave some", source->Name());
      return {
          .credentials = *std::move(found), .source = source->Name(), .tried = std::move(tried)};
    }
  }
  if (tried.empty()) {
    tried = fmt::format("no source has credentials for {}", request.registry);
  }
  if (!last_resort) {
    return {.credentials = {}, .source = {}, .tried = std::move(tried)};
  }
  // All were refused: perhaps in an outage. From now on each may be tried again.
  refused_.Forget(request);
  last_resort->tried = std::move(tried);
  return *std::move(last_resort);
}

void CredentialChain::Refused(const CredentialRequest& request, const Credentials& refused) {
  for (CredentialSource* source : sources_) {
    source->Refused(request, refused);
  }
  refused_.Add(request, refused);
}

}  // namespace starling::registry
