#include "setup/containerd_config.h"

#include <gtest/gtest.h>

#include <fstream>

#include "base/temp_dir.h"
#include "setup/wanted.h"

namespace starling::setup {
namespace {

class ContainerdConfigTest : public testing::Test {
 protected:
  void Put(const std::string& path, const std::string& text) {
    const std::filesystem::path file = root_.path() / path.substr(1);
    std::filesystem::create_directories(file.parent_path());
    std::ofstream(file) << text;
  }
  StatusOr<ContainerdConfig> Load() const {
    return ContainerdConfig::Load(root_.path(), "/etc/containerd/config.toml");
  }

  TempDir root_ = *TempDir::Make("/tmp", "containerd-config-");
  const Plugin plugin_{.name = "stargz", .socket = "/s"};
};

TEST_F(ContainerdConfigTest, NoFileIsAnEmptyConfiguration) {
  const auto config = Load();
  ASSERT_TRUE(config.ok()) << config.status();
  EXPECT_FALSE(config->exists());
  EXPECT_EQ(config->version(), 0);
  const auto plans = config->Plan(ProxyPlugin(plugin_), "");
  ASSERT_TRUE(plans.ok()) << plans.status();
  ASSERT_EQ(plans->size(), 1U);
  EXPECT_FALSE(plans->front().exists);
}

TEST_F(ContainerdConfigTest, ReadsWhatIsImportedAndTheLastOneCounts) {
  Put("/etc/containerd/config.toml",
      "version = 2\nimports = [\"conf.d/*.toml\", \"/etc/more.toml\"]\ndisabled_plugins = "
      "[\"a\"]\n[grpc]\naddress = \"/first\"\n[proxy_plugins.stargz]\ntype = \"snapshot\"\n");
  Put("/etc/containerd/conf.d/10-a.toml",
      "disabled_plugins = [\"b\"]\n[grpc]\naddress = \"/second\"\n");
  Put("/etc/containerd/conf.d/ignored", "this is no TOML");
  Put("/etc/more.toml",
      "imports = [\"/etc/containerd/config.toml\"]\n[grpc]\naddress = \"/third\"\n");
  const auto config = Load();
  ASSERT_TRUE(config.ok()) << config.status();
  EXPECT_EQ(config->version(), 2);
  EXPECT_EQ(config->Text({"grpc", "address"}), "/third");
  EXPECT_EQ(config->Texts({"disabled_plugins"}), (std::vector<std::string>{"a", "b"}));
  EXPECT_EQ(config->Names({"proxy_plugins"}), std::vector<std::string>{"stargz"});
}

TEST_F(ContainerdConfigTest, ChangesTheFileThatCounts) {
  Put("/etc/containerd/config.toml",
      "version = 2\nimports = [\"/etc/containerd/conf.d/*.toml\"]\n[proxy_plugins.stargz]\ntype = "
      "\"snapshot\"\naddress = \"/s\"\n");
  EXPECT_TRUE(Load()->Plan(ProxyPlugin(plugin_), "")->empty());
  // A table of an import replaces that of the main file.
  Put("/etc/containerd/conf.d/plugin.toml", "[proxy_plugins.stargz]\ntype = \"snapshot\"\n");
  const auto plans = Load()->Plan(ProxyPlugin(plugin_), "");
  ASSERT_TRUE(plans.ok()) << plans.status();
  ASSERT_EQ(plans->size(), 1U);
  EXPECT_EQ(plans->front().path, "/etc/containerd/conf.d/plugin.toml");
  EXPECT_EQ(Edited(plans->front().text, plans->front().plan.AllEdits()),
            "[proxy_plugins.stargz]\naddress = \"/s\"\ntype = \"snapshot\"\n");
  Put("/etc/containerd/conf.d/plugin.toml",
      "[proxy_plugins.stargz]\ntype = \"snapshot\"\naddress = \"/other\"\n");
  const auto conflict = Load()->Plan(ProxyPlugin(plugin_), "");
  ASSERT_TRUE(conflict.ok()) << conflict.status();
  ASSERT_EQ(conflict->size(), 1U);
  EXPECT_EQ(conflict->front().path, "/etc/containerd/conf.d/plugin.toml");
  EXPECT_EQ(conflict->front().plan.conflicts.front().line, 3U);
}

TEST_F(ContainerdConfigTest, NamesTheFileThatIsNoToml) {
  Put("/etc/containerd/config.toml", "imports = [\"/etc/x.toml\"]\n");
  Put("/etc/x.toml", "\nno\n");
  const Status status = Load().status();
  EXPECT_EQ(status.code(), StatusCode::kInvalidArgument);
  EXPECT_TRUE(MessageOf(status).starts_with("/etc/x.toml:2:")) << status;
}

TEST_F(ContainerdConfigTest, ImportsHaveALimit) {
  std::string imports = "imports = [";
  for (int i = 0; i < 100; ++i) {
    const std::string path = "/etc/i/" + std::to_string(i) + ".toml";
    Put(path, "");
    imports += "\"" + path + "\",";
  }
  Put("/etc/containerd/config.toml", imports + "]\n");
  EXPECT_EQ(Load().status().code(), StatusCode::kResourceExhausted);
}

}  // namespace
}  // namespace starling::setup
