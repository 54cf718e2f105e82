#include "estargz/path_tree.h"

#include <gtest/gtest.h>

#include <string>

#include "tests/support/toc_json.h"

namespace starling::estargz {
namespace {

using testing_support::TocDocument;

std::string Entry(std::string_view type, std::string_view name, std::string_view link_name = "") {
  return fmt::format(R"({{"type":"{}","name":"{}","linkName":"{}"}})", type, name, link_name);
}

Toc Parse(const std::vector<std::string>& entries) {
  StatusOr<Toc> toc = Toc::Parse(AsBytes(TocDocument(entries)), {.name_bytes = 1 << 20});
  EXPECT_TRUE(toc.ok()) << toc.status();
  return toc.ok() ? *std::move(toc) : Toc();
}

TEST(PathTree, CountsEveryDirectoryOfAPathOnce) {
  const Toc toc = Parse({Entry("reg", "a/b/c"), Entry("reg", "./a/b/d"), Entry("dir", "/a//b/"),
                         Entry("reg", "a/../a/b/./c")});
  PathTree tree(toc.entries(), {});
  ASSERT_TRUE(tree.AddAll().ok());
  EXPECT_EQ(tree.nodes().size(), 4U) << "a, b, c, d";
  EXPECT_EQ(tree.directories().size(), 3U) << "the root, a, b";
}

TEST(PathTree, ResolvesChainsOfForwardLinks) {
  const Toc toc = Parse({Entry("hardlink", "a", "b"), Entry("hardlink", "b", "c"),
                         Entry("hardlink", "c", "d"), Entry("reg", "d")});
  PathTree tree(toc.entries(), {});
  ASSERT_TRUE(tree.AddAll().ok());
  ASSERT_TRUE(tree.Resolve(0).ok());
  for (uint32_t node = 0; node < 4; ++node) {
    EXPECT_EQ(tree.nodes()[node].kind, PathTree::Kind::kFile);
    EXPECT_EQ(tree.nodes()[node].index, 3U);
  }
}

TEST(PathTree, StopsAtCyclesOfLinks) {
  const std::vector<std::string> cases[] = {
      {Entry("hardlink", "a", "a")},
      {Entry("hardlink", "a", "b"), Entry("hardlink", "b", "a")},
      {Entry("hardlink", "a", "b"), Entry("hardlink", "b", "c"), Entry("hardlink", "c", "b")},
      {Entry("reg", "a"), Entry("hardlink", "a", "a")},
  };
  for (const auto& entries : cases) {
    SCOPED_TRACE(entries.size());
    const Toc toc = Parse(entries);
    PathTree tree(toc.entries(), {});
    ASSERT_TRUE(tree.AddAll().ok());
    EXPECT_EQ(tree.Resolve(0).code(), StatusCode::kDataLoss);
  }
}

TEST(PathTree, CountsImpliedDirectoriesAgainstTheLimit) {
  std::string deep = "d";
  for (int i = 0; i < 99; ++i) {
    deep += "/d";
  }
  const Toc toc = Parse({Entry("dir", deep)});
  EXPECT_TRUE(PathTree(toc.entries(), {.entries = 100}).AddAll().ok());
  EXPECT_EQ(PathTree(toc.entries(), {.entries = 99}).AddAll().code(),
            StatusCode::kResourceExhausted);
  EXPECT_EQ(PathTree(toc.entries(), {.depth = 99}).AddAll().code(), StatusCode::kResourceExhausted);
}

TEST(PathTree, GrowsBeyondItsFirstTable) {
  // One entry reserves the smallest table; its parents overflow it several times.
  std::string deep = "0";
  for (int i = 1; i < 1000; ++i) {
    deep += "/" + std::to_string(i);
  }
  const Toc toc = Parse({Entry("dir", deep), Entry("dir", deep)});
  PathTree tree(toc.entries(), {});
  ASSERT_TRUE(tree.AddAll().ok());
  EXPECT_EQ(tree.nodes().size(), 1000U) << "the second entry finds every directory again";
}

}  // namespace
}  // namespace starling::estargz
