#pragma once

#include <optional>
#include <string>
#include <string_view>

#include "credentials/aws_keys.h"
#include "credentials/expiring_cache.h"
#include "credentials/source_dependencies.h"
#include "registry/credentials.h"

namespace starling::credentials {

/// A registry of Amazon's: an account's in a region, or the public one.
struct EcrRegistry {
  bool is_public = false;
  std::string account;  // of private ones
  std::string region;
  bool is_fips = false;
  bool is_dual_stack = false;

  friend bool operator==(const EcrRegistry&, const EcrRegistry&) = default;
};

/// The registry that `host` is: ACCOUNT.dkr.ecr[-fips].REGION.amazonaws.com[.cn],
/// ACCOUNT.dkr-ecr[-fips].REGION.on.aws, public.ecr.aws. Nothing for other hosts.
std::optional<EcrRegistry> ParseEcrHost(std::string_view host);

/// Logins of ECR, which last 12 hours, for AWS's keys. Threads: safe; blocks.
class EcrCredentials : public registry::CredentialSource {
 public:
  explicit EcrCredentials(SourceDependencies dependencies);

  std::string Name() const override { return "AWS"; }
  StatusOr<registry::Credentials> Find(const registry::CredentialRequest& request) override;
  void Refused(const registry::CredentialRequest& request,
               const registry::Credentials& refused) override;

 private:
  using Cache = ExpiringCache<registry::Credentials>;
  StatusOr<Cache::Fetched> Login(const EcrRegistry& registry);

  const SourceDependencies deps_;
  AwsKeySource keys_;
  Cache cache_;
};

}  // namespace starling::credentials
