#include "snapshotter/overlay_mounts.h"

#include <gtest/gtest.h>

#include <fstream>

#include "base/temp_dir.h"

namespace starling::snapshotter {
namespace {

TEST(MountsOf, HasTheShapesThatClientsRelyOn) {
  const OverlayFeatures index{.has_index = true, .needs_userxattr = false};
  const struct {
    std::string_view name;
    SnapshotDirectories directories;
    OverlayFeatures features;
    Mount want;
  } cases[] = {
      {"active without parents",
       {.kind = Kind::kActive, .upper = "/r/s/1/fs", .work = "/r/s/1/work", .lower = {}},
       index,
       {.type = "bind", .source = "/r/s/1/fs", .options = {"rw", "rbind"}}},
      {"view without parents",
       {.kind = Kind::kView, .upper = "/r/s/1/fs", .work = {}, .lower = {}},
       index,
       {.type = "bind", .source = "/r/s/1/fs", .options = {"ro", "rbind"}}},
      {"view of one parent",
       {.kind = Kind::kView, .upper = "/r/s/2/fs", .work = {}, .lower = {"/r/l/1"}},
       index,
       {.type = "bind", .source = "/r/l/1", .options = {"ro", "rbind"}}},
      {"view of several parents",
       {.kind = Kind::kView, .upper = "/r/s/3/fs", .work = {}, .lower = {"/r/l/2", "/r/s/1/fs"}},
       index,
       {.type = "overlay",
        .source = "overlay",
        .options = {"lowerdir=/r/l/2:/r/s/1/fs", "index=off"}}},
      {"active on one parent",
       {.kind = Kind::kActive, .upper = "/r/s/2/fs", .work = "/r/s/2/work", .lower = {"/r/s/1/fs"}},
       index,
       {.type = "overlay",
        .source = "overlay",
        .options = {"workdir=/r/s/2/work", "upperdir=/r/s/2/fs", "lowerdir=/r/s/1/fs",
                    "index=off"}}},
      {"active on several parents in a user namespace",
       {.kind = Kind::kActive,
        .upper = "/u",
        .work = "/w",
        .lower = {"/top", "/middle", "/bottom"}},
       {.has_index = false, .needs_userxattr = true},
       {.type = "overlay",
        .source = "overlay",
        .options = {"workdir=/w", "upperdir=/u", "lowerdir=/top:/middle:/bottom", "userxattr"}}},
  };
  for (const auto& c : cases) {
    SCOPED_TRACE(c.name);
    EXPECT_EQ(MountsOf(c.directories, c.features), std::vector<Mount>{c.want});
  }
}

TEST(ProbeOverlay, LooksAtTheModuleAndTheUserNamespace) {
  const auto root = TempDir::Make("/tmp", "overlay");
  ASSERT_TRUE(root.ok());
  std::filesystem::create_directories(root->path() / "proc/self");
  std::ofstream(root->path() / "proc/self/uid_map") << "         0          0 4294967295\n";
  OverlayFeatures features = ProbeOverlay(root->path());
  EXPECT_FALSE(features.has_index);
  EXPECT_FALSE(features.needs_userxattr);

  std::filesystem::create_directories(root->path() / "sys/module/overlay/parameters");
  std::ofstream(root->path() / "sys/module/overlay/parameters/index") << "N\n";
  std::ofstream(root->path() / "proc/self/uid_map") << "         0     100000      65536\n";
  features = ProbeOverlay(root->path());
  EXPECT_TRUE(features.has_index);
  EXPECT_TRUE(features.needs_userxattr);
}

TEST(CheckOverlayPath, RefusesWhatWouldBreakTheOptions) {
  EXPECT_TRUE(CheckOverlayPath("/var/lib/starling").ok());
  for (const char* path : {"relative", "/a:b", "/a,b", "/a\\b", ""}) {
    EXPECT_EQ(CheckOverlayPath(path).code(), StatusCode::kInvalidArgument) << path;
  }
}

}  // namespace
}  // namespace starling::snapshotter
