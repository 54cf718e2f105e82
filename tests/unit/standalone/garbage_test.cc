#include "standalone/garbage.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <string_view>

namespace starling::standalone {
namespace {

using testing::IsEmpty;

using Words = std::vector<std::string>;

Holdings::Content Blob(std::string digest, std::map<std::string, std::string> labels = {}) {
  return {.digest = std::move(digest), .labels = std::move(labels)};
}

TEST(FindGarbage, FollowsWhatIsHeld) {
  const std::map<std::string, std::string> root = {{"containerd.io/gc.root", "now"}};
  const struct {
    std::string_view name;
    Holdings holdings;
    Words contents;   // that are garbage
    Words snapshots;  // the same, in order
  } cases[] = {
      {.name = "nothing at all", .holdings = {}},
      {.name = "nobody holds a thing",
       .holdings = {.contents = {Blob("a"), Blob("b")}, .snapshots = {{"s", ""}}},
       .contents = {"a", "b"},
       .snapshots = {"s"}},
      {.name = "a lease holds a blob",
       .holdings = {.contents = {Blob("a"), Blob("b")}, .held_contents = {"a"}},
       .contents = {"b"}},
      {.name = "a lease holds a snapshot, and that its parents",
       .holdings = {.snapshots = {{"bottom", ""}, {"middle", "bottom"}, {"top", "middle"}},
                    .held_snapshots = {"middle"}},
       .snapshots = {"top"}},
      {.name = "a lease holds what is not there yet",
       .holdings = {.held_contents = {"soon"}, .held_snapshots = {"soon"}}},
      {.name = "an image holds what its manifest names",
       .holdings = {.contents = {Blob("manifest",
                                      {{"containerd.io/gc.ref.content.config", "config"},
                                       {"containerd.io/gc.ref.content.l.0", "layer"},
                                       {"containerd.io/gc.ref.content.l.1", "lazy"}}),
                                 Blob("config", {{"containerd.io/gc.ref.snapshot.stargz", "top"}}),
                                 Blob("layer"), Blob("other")},
                    .snapshots = {{"bottom", ""}, {"top", "bottom"}, {"other", "bottom"}},
                    .image_targets = {"manifest"}},
       .contents = {"other"},
       .snapshots = {"other"}},
      {.name = "a root holds what it names, of any snapshotter",
       .holdings = {.contents = {Blob("record", {{"containerd.io/gc.root", "now"},
                                                 {"containerd.io/gc.ref.content", "layer"},
                                                 {"containerd.io/gc.ref.snapshot.other", "s"}}),
                                 Blob("layer")},
                    .snapshots = {{"s", ""}}}},
      {.name = "a root that was deleted is none",
       .holdings = {.contents = {{.digest = "record", .labels = root, .is_deleted = true}}},
       .contents = {"record"}},
      {.name = "but holds what it names while somebody uses it",
       .holdings = {.contents = {{.digest = "record",
                                  .labels = {{"containerd.io/gc.root", "now"},
                                             {"containerd.io/gc.ref.content", "layer"},
                                             {"containerd.io/gc.ref.snapshot.stargz", "s"}},
                                  .is_deleted = true},
                                 Blob("layer")},
                    .snapshots = {{"s", ""}},
                    .held_contents = {"record"}}},
      {.name = "labels of other kinds hold nothing",
       .holdings = {.contents = {Blob("a", {{"containerd.io/gc.root", "now"},
                                            {"containerd.io/distribution.source.x", "b"},
                                            {"containerd.io/gc.ref.image", "b"}}),
                                 Blob("b")}},
       .contents = {"b"}},
      {.name = "blobs that name each other go together",
       .holdings = {.contents = {Blob("a", {{"containerd.io/gc.ref.content", "b"}}),
                                 Blob("b", {{"containerd.io/gc.ref.content", "a"}})}},
       .contents = {"a", "b"}},
      {.name = "and stay together",
       .holdings = {.contents = {Blob("a", {{"containerd.io/gc.ref.content", "b"}}),
                                 Blob("b", {{"containerd.io/gc.ref.content", "a"}})},
                    .held_contents = {"b"}}},
      {.name = "children go before their parents",
       .holdings = {.snapshots = {{"1", ""}, {"2", "1"}, {"3", "2"}, {"4", "1"}}},
       .snapshots = {"3", "2", "4", "1"}},
      {.name = "a parent of what stays is no garbage, its other children are",
       .holdings = {.snapshots = {{"1", ""}, {"2", "1"}, {"3", "1"}, {"4", "3"}},
                    .held_snapshots = {"2"}},
       .snapshots = {"4", "3"}},
      {.name = "snapshots on each other, which there cannot be, have no end to begin with",
       .holdings = {.snapshots = {{"1", "2"}, {"2", "1"}}}},
  };
  for (const auto& c : cases) {
    SCOPED_TRACE(c.name);
    const Garbage garbage = FindGarbage(c.holdings);
    EXPECT_EQ(garbage.contents, c.contents);
    EXPECT_EQ(garbage.snapshots, c.snapshots);
  }
}

TEST(FindGarbage, HasNoLimitOfDepth) {
  constexpr int kCount = 100'000;
  Holdings holdings;
  for (int i = 0; i < kCount; ++i) {
    holdings.snapshots.push_back(
        {.name = std::to_string(i), .parent = i == 0 ? "" : std::to_string(i - 1)});
    holdings.contents.push_back(
        Blob(std::to_string(i), {{"containerd.io/gc.ref.content", std::to_string(i + 1)}}));
  }
  EXPECT_EQ(FindGarbage(holdings).snapshots.front(), std::to_string(kCount - 1));
  holdings.held_contents = {"0"};
  holdings.held_snapshots = {std::to_string(kCount - 1)};
  EXPECT_THAT(FindGarbage(holdings).contents, IsEmpty());
  EXPECT_THAT(FindGarbage(holdings).snapshots, IsEmpty());
}

}  // namespace
}  // namespace starling::standalone
