#pragma once

#include <chrono>
#include <filesystem>
#include <memory>
#include <string>
#include <vector>

#include "base/clock.h"
#include "base/file_system.h"
#include "credentials/environment.h"
#include "credentials/kubelet_plugins.h"
#include "credentials/pulled_credentials.h"
#include "credentials/source_dependencies.h"
#include "credentials/web_client.h"
#include "registry/credentials.h"
#include "registry/http_transport.h"

namespace starling::credentials {

/// Everything that may know credentials, in the order of docs/registries.md. Borrows what it is
/// made with. Threads: those of its sources.
class Sources {
 public:
  struct Dependencies {
    registry::HttpTransport& transport;
    FileSystem& files;
    const Clock& clock;
    Environment environment;
    /// Kubernetes' pull secrets; see PullSecrets.
    std::vector<std::filesystem::path> pull_secrets = {};
    /// Kubelet's plugins; without a configuration file none.
    KubeletPlugins::Options kubelet_plugins = {};
  };
  explicit Sources(Dependencies dependencies);
  ~Sources();

  /// Puts the secret `name` ("env:VARIABLE", "file:PATH") in front, for `registry` alone. Before
  /// in_order() is called.
  Status AddSecret(const std::string& name, const std::string& registry);

  /// Puts the credentials of pulls in front, and returns where they are kept; `max_age` and
  /// `memory` as there. Before in_order() is called.
  PulledCredentials& AddPulled(std::chrono::seconds max_age, UniqueFd memory);

  /// Borrowed: they live as long as this.
  std::vector<registry::CredentialSource*> in_order() const;

 private:
  SourceDependencies OfSecrets() const;

  const Dependencies deps_;
  const WebClient web_;
  std::vector<std::unique_ptr<registry::CredentialSource>> sources_;
};

}  // namespace starling::credentials
