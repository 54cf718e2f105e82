#pragma once

#include <string>
#include <string_view>

#include "credentials/expiring_cache.h"
#include "credentials/google_key.h"
#include "credentials/source_dependencies.h"
#include "registry/credentials.h"

namespace starling::credentials {

/// Artifact Registry (*.pkg.dev) and Container Registry (gcr.io, *.gcr.io).
bool IsGoogleRegistry(std::string_view host);

/// An access token of Google's and its life. Errors hold no part of the answer.
struct GoogleToken {
  std::string text;
  std::chrono::seconds life;
};
StatusOr<GoogleToken> ParseGoogleToken(ByteSpan json);

/// Access tokens for Google's registries, for the user name oauth2accesstoken: of the key in
/// SERVICE_ACCOUNT_JSON, the file of GOOGLE_APPLICATION_CREDENTIALS, gcloud's application default
/// credentials, or the machine's service account, by its metadata server. The first that is
/// configured decides. Threads: safe; blocks.
/// Source: Google AIP-4110 ("Application Default Credentials").
class GoogleCredentials : public registry::CredentialSource {
 public:
  explicit GoogleCredentials(SourceDependencies dependencies);

  std::string Name() const override { return "Google"; }
  StatusOr<registry::Credentials> Find(const registry::CredentialRequest& request) override;
  void Refused(const registry::CredentialRequest& request,
               const registry::Credentials& refused) override;

 private:
  using Cache = ExpiringCache<registry::Credentials>;
  StatusOr<Cache::Fetched> Look();
  StatusOr<GoogleToken> FindToken() const;
  StatusOr<GoogleToken> OfKey(const Bytes& json, const std::string& origin) const;
  StatusOr<GoogleToken> Trade(const GoogleServiceAccount& account) const;
  StatusOr<GoogleToken> Trade(const GoogleUser& user) const;
  StatusOr<GoogleToken> AskForToken(registry::HttpRequest request,
                                    const std::vector<std::string>& secrets) const;
  StatusOr<GoogleToken> OfMachine() const;
  /// Where gcloud keeps the application default credentials.
  std::string DefaultFile() const;

  const SourceDependencies deps_;
  Cache cache_;
};

}  // namespace starling::credentials
