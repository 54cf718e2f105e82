#include "credentials/sources.h"

#include <utility>

#include "credentials/azure.h"
#include "credentials/docker_config.h"
#include "credentials/ecr.h"
#include "credentials/google.h"
#include "credentials/named_secret.h"
#include "credentials/pull_secrets.h"
#include "credentials/source_dependencies.h"
#include "credentials/variables.h"

namespace starling::credentials {

Sources::Sources(Dependencies dependencies)
    : deps_(std::move(dependencies)), web_({.transport = deps_.transport, .clock = deps_.clock}) {
  const SourceDependencies machine{.environment = deps_.environment,
                                   .surroundings = Surroundings::kMachine,
                                   .files = deps_.files,
                                   .web = web_,
                                   .clock = deps_.clock};
  // What somebody wrote down for a registry goes before what a machine happens to be.
  sources_.push_back(std::make_unique<LoginVariables>(deps_.environment));
  sources_.push_back(
      std::make_unique<DockerConfig>(deps_.files, DockerConfig::PathIn(deps_.environment)));
  if (!deps_.pull_secrets.empty()) {
    sources_.push_back(std::make_unique<PullSecrets>(deps_.files, deps_.pull_secrets));
  }
  if (!deps_.kubelet_plugins.config_file.empty()) {
    sources_.push_back(
        std::make_unique<KubeletPlugins>(deps_.files, deps_.clock, deps_.kubelet_plugins));
  }
  sources_.push_back(std::make_unique<TokenVariables>(deps_.environment));
  sources_.push_back(std::make_unique<EcrCredentials>(machine));
  sources_.push_back(std::make_unique<GoogleCredentials>(machine));
  sources_.push_back(std::make_unique<AzureCredentials>(machine));
}

Sources::~Sources() = default;

Status Sources::AddSecret(const std::string& name, const std::string& registry) {
  ASSIGN_OR_RETURN(auto secret, NamedSecret::Open(name, registry, OfSecrets()));
  sources_.insert(sources_.begin(), std::move(secret));
  return OkStatus();
}

SourceDependencies Sources::OfSecrets() const {
  return {.environment = deps_.environment,
          .surroundings = Surroundings::kNone,
          .files = deps_.files,
          .web = web_,
          .clock = deps_.clock};
}

PulledCredentials& Sources::AddPulled(std::chrono::seconds max_age, UniqueFd memory) {
  auto pulled = std::make_unique<PulledCredentials>(
      deps_.clock, max_age,
      [this](const std::string& text,
             const std::string& registry) -> StatusOr<std::shared_ptr<NamedSecret>> {
        ASSIGN_OR_RETURN(std::unique_ptr<NamedSecret> secret,
                         NamedSecret::OfText("of a pull", AsBytes(text), registry, OfSecrets()));
        return std::shared_ptr<NamedSecret>(std::move(secret));
      },
      std::move(memory));
  PulledCredentials& kept = *pulled;
  sources_.insert(sources_.begin(), std::move(pulled));
  return kept;
}

std::vector<registry::CredentialSource*> Sources::in_order() const {
  std::vector<registry::CredentialSource*> sources;
  sources.reserve(sources_.size());
  for (const auto& source : sources_) {
    sources.push_back(source.get());
  }
  return sources;
}

}  // namespace starling::credentials
