#include "snapshotter/id_mapping.h"

#include <gtest/gtest.h>

#include <string>

#include "api/snapshot_labels.h"
#include "base/temp_dir.h"

namespace starling::snapshotter {
namespace {

Labels WithMappings(const std::string& uids, const std::string& gids) {
  return {{std::string(api::snapshot_label::kUidMapping), uids},
          {std::string(api::snapshot_label::kGidMapping), gids}};
}

TEST(IdMappingOf, ReadsWhatClientsSay) {
  const auto mapping = IdMappingOf(WithMappings("1:100001:65535,0:1000:1", "0:4294901759:65535"));
  ASSERT_TRUE(mapping.ok()) << mapping.status();
  ASSERT_TRUE(mapping->has_value());
  EXPECT_EQ((*mapping)->uids,
            (std::vector<IdRange>{{.inside = 1, .outside = 100001, .count = 65535},
                                  {.inside = 0, .outside = 1000, .count = 1}}));
  EXPECT_EQ((*mapping)->root, (Owner{.uid = 1000, .gid = 4294901759}));
  EXPECT_EQ((*mapping)->MountOptions(), (std::vector<std::string>{"uidmap=1:100001:65535,0:1000:1",
                                                                  "gidmap=0:4294901759:65535"}));
}

TEST(IdMappingOf, SaysNothingWithoutLabels) {
  const auto mapping = IdMappingOf({{"containerd.io/other", "0:1:2"}});
  ASSERT_TRUE(mapping.ok());
  EXPECT_FALSE(mapping->has_value());
}

TEST(IdMappingOf, RefusesWhatNoMappingIs) {
  std::string long_list = "0:0:1";
  for (int i = 1; i <= 340; ++i) {
    long_list += "," + std::to_string(i) + ":" + std::to_string(i) + ":1";
  }
  const std::string fine = "0:100000:65536";
  for (const std::string& bad :
       {std::string(), std::string("0"), std::string("0:1"), std::string("0:1:"),
        std::string("0:1:2:3"), std::string("0:1:0"), std::string("-1:1:1"), std::string(" 0:1:1"),
        std::string("0:1:2 "), std::string("0:1:2,"), std::string(",0:1:2"), std::string("0:1:2\n"),
        std::string("0:4294967296:1"), std::string("0:4294967295:1"), std::string("0x0:1:1"),
        std::string("1:1000:10"), long_list}) {
    SCOPED_TRACE(bad.substr(0, 40));
    EXPECT_EQ(IdMappingOf(WithMappings(bad, fine)).status().code(), StatusCode::kInvalidArgument);
    const Status status = IdMappingOf(WithMappings(fine, bad)).status();
    EXPECT_EQ(status.code(), StatusCode::kInvalidArgument);
    EXPECT_NE(status.message().find("containerd.io/snapshot/gidmapping"), std::string::npos)
        << status;
  }
  Labels half = WithMappings(fine, fine);
  half.erase(std::string(api::snapshot_label::kGidMapping));
  EXPECT_EQ(IdMappingOf(half).status().code(), StatusCode::kInvalidArgument);
}

TEST(IdMapping, KnowsWhatAContainerOwnsWithoutIt) {
  const auto mapping = IdMappingOf(WithMappings("0:1000:1,1:100000:1000", "0:5000:10"));
  ASSERT_TRUE(mapping.ok());
  const struct {
    Owner owner;
    bool want;
  } cases[] = {
      {{.uid = 0, .gid = 0}, false},         {{.uid = 1000, .gid = 5000}, true},
      {{.uid = 1001, .gid = 5000}, false},   {{.uid = 100999, .gid = 5009}, true},
      {{.uid = 101000, .gid = 5000}, false}, {{.uid = 1000, .gid = 0}, false},
      {{.uid = 100000, .gid = 5010}, false},
  };
  for (const auto& c : cases) {
    EXPECT_EQ((*mapping)->HasOnHost(c.owner), c.want) << c.owner.uid << ":" << c.owner.gid;
  }
}

TEST(ProbeIdMapping, TriesTheRealThing) {
  const auto root = TempDir::Make("/tmp", "mapping");
  ASSERT_TRUE(root.ok());
  EXPECT_TRUE(ProbeIdMapping(root->path()).ok()) << ProbeIdMapping(root->path());
  // Procfs knows no mapped IDs.
  const Status refused = ProbeIdMapping("/proc");
  ASSERT_FALSE(refused.ok());
  EXPECT_NE(refused.message().find("/proc"), std::string::npos) << refused;
}

}  // namespace
}  // namespace starling::snapshotter
