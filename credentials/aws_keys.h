#pragma once

#include <string>
#include <string_view>

#include "base/status.h"
#include "credentials/aws_answers.h"
#include "credentials/aws_config.h"
#include "credentials/aws_signature.h"
#include "credentials/expiring_cache.h"
#include "credentials/source_dependencies.h"

namespace starling::credentials {

/// Finds the keys that sign requests to AWS, where and in the order in which its SDKs do:
/// variables, a role by web identity, the profile of the shared files (keys, roles), the
/// container's metadata service, the instance's (IMDSv2). The first that is configured decides.
/// Temporary keys are kept until shortly before their end. Threads: safe; blocks.
/// Source: AWS SDKs and Tools Reference Guide, "Standardized credential providers".
class AwsKeySource {
 public:
  /// Whether the instance's metadata service may be asked.
  enum class Instance { kMayBeAsked, kIsLeftAlone };

  explicit AwsKeySource(SourceDependencies dependencies);

  /// Keys for use in `region`. Errors: kNotFound, with all that was looked at, when nothing is
  /// configured; others when what is configured fails.
  StatusOr<AwsKeys> Find(const std::string& region, Instance instance);
  /// Temporary keys were refused: others are fetched the next time.
  void Forget(const std::string& region, Instance instance);

 private:
  using Fetched = ExpiringCache<AwsKeys>::Fetched;
  struct Role;

  StatusOr<Fetched> Look(const std::string& region, Instance instance);
  StatusOr<AwsKeys> OfVariables() const;
  StatusOr<AwsKeys> OfProfile(const std::string& region);
  StatusOr<AwsKeys> OfProfile(const AwsProfiles& profiles, const std::string& name,
                              const std::string& region, int depth);
  StatusOr<AwsKeys> BaseOfRole(const AwsProfiles& profiles, const std::string& name,
                               const std::string& region, int depth);
  StatusOr<AwsKeys> OfContainer() const;
  StatusOr<AwsKeys> OfInstance() const;
  StatusOr<AwsKeys> AssumeRole(const Role& role, const AwsKeys& base,
                               const std::string& region) const;
  StatusOr<AwsKeys> AssumeRoleByWebIdentity(const Role& role, const std::string& token_file,
                                            const std::string& region) const;
  StatusOr<AwsKeys> AskSts(registry::HttpRequest request,
                           const std::vector<std::string>& secrets) const;
  StatusOr<AwsKeys> Renewable(StatusOr<AwsTemporaryKeys> found, std::string_view what) const;
  std::string StsUrl(const std::string& region) const;
  /// The user's file of this name below ~/.aws, unless `variable` names another.
  std::string SharedFile(const std::string& variable, const std::string& name) const;

  const SourceDependencies deps_;
  ExpiringCache<AwsKeys> cache_;
};

}  // namespace starling::credentials
