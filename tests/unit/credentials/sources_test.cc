#include "credentials/sources.h"

#include "registry/credential_chain.h"
#include "tests/unit/credentials/cloud.h"

namespace starling::credentials {
namespace {

Sources::Dependencies Of(Cloud& cloud, std::map<std::string, std::string> variables) {
  return {.transport = cloud.transport,
          .files = RealFileSystem(),
          .clock = cloud.clock,
          .environment = cloud.With(std::move(variables)).environment};
}

TEST(Sources, AreInTheDocumentedOrder) {
  Cloud cloud(Nobody);
  Sources::Dependencies dependencies = Of(cloud, {{"S", "u:p"}});
  dependencies.pull_secrets = {"/secrets"};
  dependencies.kubelet_plugins = {.config_file = "/plugins.yaml", .bin_dir = "/plugins"};
  Sources sources(std::move(dependencies));
  sources.AddPulled(std::chrono::hours(1), UniqueFd());
  ASSERT_TRUE(sources.AddSecret("env:S", "ghcr.io").ok());
  std::vector<std::string> names;
  for (const registry::CredentialSource* source : sources.in_order()) {
    names.push_back(source->Name());
  }
  EXPECT_THAT(names, testing::ElementsAre("secret env:S", "pulls",
                                          "REGISTRY_USERNAME and REGISTRY_PASSWORD",
                                          testing::StartsWith("docker config "), "pull secrets",
                                          "kubelet's credential provider plugins", "environment",
                                          "AWS", "Google", "Azure"));
  EXPECT_FALSE(sources.AddSecret("hunter2", "ghcr.io").ok());
}

TEST(Sources, SayWhatWasTriedForEachRegistry) {
  const struct {
    const char* registry;
    const char* want;
  } cases[] = {
      {"docker.io",
       "REGISTRY_USERNAME and REGISTRY_PASSWORD has none: not set; docker config HOME has none: no "
       "such file"},
      {"r.example", "docker config HOME has none: no such file"},
      {"ghcr.io",
       "docker config HOME has none: no such file; environment has none: neither GITHUB_TOKEN nor "
       "GH_TOKEN is set"},
  };
  for (const auto& c : cases) {
    Cloud cloud(Nobody);
    Sources sources(Of(cloud, {}));
    std::string tried = registry::CredentialChain(sources.in_order()).Find({c.registry, "a"}).tried;
    const std::string path = cloud.home->path() / ".docker/config.json";
    for (size_t at = tried.find(path); at != std::string::npos; at = tried.find(path)) {
      tried.replace(at, path.size(), "HOME");
    }
    EXPECT_EQ(tried, c.want);
    EXPECT_TRUE(cloud.asked().empty()) << "no cloud's service is asked for " << c.registry;
  }
}

}  // namespace
}  // namespace starling::credentials
