#pragma once

#include <string>
#include <string_view>

#include "credentials/expiring_cache.h"
#include "credentials/source_dependencies.h"
#include "registry/credentials.h"

namespace starling::credentials {

/// REGISTRY.azurecr.io, and those of the national clouds.
bool IsAzureRegistry(std::string_view host);

/// How long a refresh token of a registry lasts from `now` on, by its own "exp" claim; an hour when
/// that cannot be read. The token's signature is the registry's business.
std::chrono::seconds LifeOfAzureToken(std::string_view token,
                                      std::chrono::system_clock::time_point now);

/// Refresh tokens of Azure's registries, traded for a token of Entra ID: of an application
/// (AZURE_TENANT_ID, AZURE_CLIENT_ID and AZURE_CLIENT_SECRET, or AZURE_FEDERATED_TOKEN_FILE), or of
/// the machine's managed identity. Threads: safe; blocks.
/// Source: Azure Container Registry, "AAD integration", POST /oauth2/exchange.
class AzureCredentials : public registry::CredentialSource {
 public:
  explicit AzureCredentials(SourceDependencies dependencies);

  std::string Name() const override { return "Azure"; }
  StatusOr<registry::Credentials> Find(const registry::CredentialRequest& request) override;
  void Refused(const registry::CredentialRequest& request,
               const registry::Credentials& refused) override;

 private:
  using Cache = ExpiringCache<registry::Credentials>;
  StatusOr<Cache::Fetched> Login(const std::string& registry);
  /// A token that stands for the application or the machine.
  StatusOr<std::string> AccessToken() const;
  StatusOr<std::string> OfApplication() const;
  StatusOr<std::string> OfMachine() const;

  const SourceDependencies deps_;
  Cache cache_;
};

}  // namespace starling::credentials
