#include "setup/wanted.h"

#include <gtest/gtest.h>

namespace starling::setup {
namespace {

TEST(ParseContainerdVersion, ReadsWhatContainerdSays) {
  EXPECT_EQ(*ParseContainerdVersion("1.6.20~ds1"), (ContainerdVersion{1, 6}));
  EXPECT_EQ(*ParseContainerdVersion("v2.3.4"), (ContainerdVersion{2, 3}));
  EXPECT_EQ(*ParseContainerdVersion("2.4.0-beta.1"), (ContainerdVersion{2, 4}));
  for (const char* text : {"", "v", "2", "two.3", "-1.2", "v2.", "99999999999999.1"}) {
    EXPECT_EQ(ParseContainerdVersion(text).status().code(), StatusCode::kInvalidArgument) << text;
  }
}

std::string Joined(const Wanted& wanted) {
  std::string text;
  for (const std::string& line : TomlLines(wanted)) {
    text += line + "\n";
  }
  return text;
}

TEST(Wanted, GrowsWithTheVersionOfContainerd) {
  const Plugin plugin{.name = "stargz", .socket = "/s", .root = "/r", .maps_ids = true};
  EXPECT_EQ(Joined(ForContainerd({1, 7}, {.name = "stargz", .socket = "/s"})),
            "[proxy_plugins.stargz]\n  type = \"snapshot\"\n  address = \"/s\"\n");
  EXPECT_EQ(Joined(ForContainerd({2, 3}, plugin)), R"([proxy_plugins.stargz]
  type = "snapshot"
  address = "/s"
  capabilities = ["remap-ids"]
[proxy_plugins.stargz.exports]
  root = "/r"
  enable_remote_snapshot_annotations = "true"
[[plugins."io.containerd.transfer.v1.local".unpack_config]]
  platform = "linux"
  snapshotter = "stargz"
[[plugins."io.containerd.transfer.v1.local".unpack_config]]
  platform = "linux"
  snapshotter = "overlayfs"
)");
  // 2.0 has the transfer service, but no annotations of its own.
  EXPECT_EQ(Joined(ForContainerd({2, 0}, plugin)).find("enable_remote"), std::string::npos);
}

TEST(Wanted, CriIsWhereTheFilesVersionHasIt) {
  EXPECT_EQ(Joined(ForCri(2, "x")),
            "[plugins.\"io.containerd.grpc.v1.cri\".containerd]\n  snapshotter = \"x\"\n  "
            "disable_snapshot_annotations = false\n");
  for (const int version : {3, 4}) {
    EXPECT_EQ(Joined(ForCri(version, "x")),
              "[plugins.\"io.containerd.cri.v1.images\"]\n  snapshotter = \"x\"\n  "
              "disable_snapshot_annotations = false\n");
  }
}

}  // namespace
}  // namespace starling::setup
