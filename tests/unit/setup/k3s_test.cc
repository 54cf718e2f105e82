#include "setup/k3s.h"

#include <gtest/gtest.h>

#include <fstream>

#include "base/temp_dir.h"
#include "tests/support/read_whole.h"

namespace starling::setup {
namespace {

class K3sTest : public testing::Test {
 protected:
  void Put(const std::string& path, const std::string& text) {
    const std::filesystem::path file = root_.path() / path.substr(1);
    std::filesystem::create_directories(file.parent_path());
    std::ofstream(file) << text;
  }
  /// Applies what is planned, and returns how many files that were.
  size_t Apply() {
    const auto plans = PlanK3s(root_.path(), places_, plugin_, "# Starling");
    EXPECT_TRUE(plans.ok()) << plans.status();
    for (const FilePlan& plan : *plans) {
      Put(plan.path, Edited(plan.text, plan.plan.AllEdits()));
    }
    return plans->size();
  }
  std::string Get(const std::string& path) const {
    return testing_support::ReadWhole(root_.path() / path.substr(1));
  }

  TempDir root_ = *TempDir::Make("/tmp", "k3s-");
  const K3sPlaces places_;
  const Plugin plugin_{.name = kK3sPluginName, .socket = "/s"};
};

TEST_F(K3sTest, MakesATemplateOnTheBase) {
  EXPECT_EQ(Apply(), 2U);
  EXPECT_EQ(Get(places_.config_file), "snapshotter: starling\n");
  EXPECT_EQ(Get(places_.template_file), R"({{ template "base" . }}

# Starling
[proxy_plugins.starling]
  type = "snapshot"
  address = "/s"
[proxy_plugins.starling.exports]
  enable_remote_snapshot_annotations = "true"
[[plugins."io.containerd.transfer.v1.local".unpack_config]]
  platform = "linux"
  snapshotter = "starling"
[[plugins."io.containerd.transfer.v1.local".unpack_config]]
  platform = "linux"
  snapshotter = "overlayfs"
)");
  EXPECT_EQ(Apply(), 0U);
}

TEST_F(K3sTest, LeavesTheTemplatesLanguageAlone) {
  const std::string before =
      "{{ template \"base\" . }}\n{{ if .IsRunningInUserNS }}\n[proxy_plugins.starling]\n  type = "
      "\"snapshot\"\n  address = \"/s\" # ours\n{{ end }}\n";
  Put(places_.template_file, before);
  EXPECT_EQ(Apply(), 2U);
  EXPECT_TRUE(Get(places_.template_file).starts_with(before));
  EXPECT_EQ(Apply(), 0U);
}

TEST_F(K3sTest, SaysWhichSnapshotterIsChosen) {
  Put(places_.config_file, "node-name: a\nsnapshotter: \"native\" # why\nother: b\n");
  const auto plans = PlanK3s(root_.path(), places_, plugin_, "");
  ASSERT_TRUE(plans.ok()) << plans.status();
  ASSERT_EQ(plans->size(), 2U);
  ASSERT_EQ(plans->back().plan.conflicts.size(), 1U);
  EXPECT_EQ(plans->back().plan.conflicts.front().present, "native");
  EXPECT_EQ(plans->back().plan.conflicts.front().line, 2U);
  Apply();
  EXPECT_EQ(Get(places_.config_file), "node-name: a\nsnapshotter: starling\nother: b\n");
}

}  // namespace
}  // namespace starling::setup
