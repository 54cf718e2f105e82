#include "fuse/mount_table.h"

#include <gtest/gtest.h>

namespace starling::fuse {
namespace {

constexpr std::string_view kMountInfo =
    "22 1 254:1 / / rw,relatime shared:1 - ext4 /dev/vda1 rw\n"
    "40 22 0:35 / /run/l ro shared:7 master:2 - fuse.other other rw\n"
    "41 22 0:36 / /run/l ro - fuse.starling starling rw,user_id=0\n"
    "42 22 0:37 / /run/with\\040space ro - fuse.starling starling rw\n";

TEST(FindMount, TakesTheTopmostAtExactlyThePath) {
  const auto top = FindMount(kMountInfo, "/run/l");
  ASSERT_TRUE(top.has_value());
  EXPECT_EQ(top->device, "0:36");
  EXPECT_EQ(top->type, "fuse.starling");
  EXPECT_FALSE(FindMount(kMountInfo, "/run").has_value());
  EXPECT_FALSE(FindMount(kMountInfo, "/run/l/1").has_value());
  EXPECT_FALSE(FindMount("", "/run/l").has_value());
}

TEST(FindMount, UnderstandsEscapedPaths) {
  const auto mount = FindMount(kMountInfo, "/run/with space");
  ASSERT_TRUE(mount.has_value());
  EXPECT_EQ(mount->device, "0:37");
}

TEST(FindMount, KnowsTheRootOfThisProcess) {
  const auto mount = FindMount("/");
  ASSERT_TRUE(mount.ok()) << mount.status();
  EXPECT_TRUE(mount->has_value());
}

TEST(MountsBelow, KeepsTheirOrder) {
  using Paths = std::vector<std::filesystem::path>;
  EXPECT_EQ(MountsBelow(kMountInfo, "/run"), (Paths{"/run/l", "/run/l", "/run/with space"}));
  EXPECT_EQ(MountsBelow(kMountInfo, "/run/l"), Paths{}) << "not the directory itself";
  EXPECT_EQ(MountsBelow(kMountInfo, "/ru"), Paths{});
  EXPECT_EQ(MountsBelow("", "/run"), Paths{});
}

TEST(EntriesBelow, SaysWhatEachMountIs) {
  const auto entries = EntriesBelow(kMountInfo, "/run");
  ASSERT_EQ(entries.size(), 3U);
  EXPECT_EQ(entries[1].mount_point, "/run/l");
  EXPECT_EQ(entries[1].device, "0:36");
  EXPECT_EQ(entries[1].type, "fuse.starling");
  EXPECT_EQ(entries[1].options, "rw,user_id=0");
  EXPECT_TRUE(EntriesBelow("", "/run").empty());
}

}  // namespace
}  // namespace starling::fuse
