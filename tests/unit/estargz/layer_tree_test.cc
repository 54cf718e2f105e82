#include "estargz/layer_tree.h"

#include <gtest/gtest.h>
#include <sys/stat.h>

#include <algorithm>
#include <optional>
#include <string>

#include "tests/support/layer_tree_invariants.h"
#include "tests/support/toc_json.h"

namespace starling::estargz {
namespace {

using testing_support::FakeDigest;
using testing_support::LayerTreeInvariants;
using testing_support::TocDocument;

constexpr uint64_t kPayloadEnd = 1'000'000;

std::string Entry(std::string_view type, std::string_view name, std::string_view fields = "") {
  return fmt::format(R"({{"type":"{}","name":"{}"{}{}}})", type, name, fields.empty() ? "" : ",",
                     fields);
}

std::string Link(std::string_view type, std::string_view name, std::string_view target) {
  return Entry(type, name, fmt::format(R"("linkName":"{}")", target));
}

// A file of one byte in a member of its own.
std::string Content(std::string_view name, uint64_t blob_offset) {
  return Entry("reg", name,
               fmt::format(R"("size":1,"offset":{},"digest":"{}")", blob_offset, FakeDigest('1')));
}

StatusOr<LayerTree> Build(const std::vector<std::string>& entries, const TocLimits& limits = {}) {
  StatusOr<Toc> toc = Toc::Parse(AsBytes(TocDocument(entries)), limits);
  if (!toc.ok()) {
    return toc.status();
  }
  StatusOr<LayerTree> tree = LayerTree::Build(*std::move(toc), kPayloadEnd, limits);
  if (tree.ok()) {
    EXPECT_EQ(LayerTreeInvariants(*tree, kPayloadEnd).broken(), "");
  }
  return tree;
}

const Inode* Find(const LayerTree& tree, std::string_view path) {
  uint32_t inode = LayerTree::kRoot;
  while (!path.empty()) {
    const size_t slash = std::min(path.find('/'), path.size());
    const auto& children = tree.inodes()[inode].children;
    const auto child = std::ranges::find(children, path.substr(0, slash), &Child::name);
    if (child == children.end()) {
      return nullptr;
    }
    inode = child->inode;
    path.remove_prefix(std::min(slash + 1, path.size()));
  }
  return &tree.inodes()[inode];
}

// "d755 a/ ..." : every path with its type, permissions and number of links.
std::string Listing(const LayerTree& tree) {
  std::string text;
  std::vector<std::pair<uint32_t, std::string>> todo = {{LayerTree::kRoot, ""}};
  while (!todo.empty()) {
    const auto [number, prefix] = todo.back();
    todo.pop_back();
    const auto& children = tree.inodes()[number].children;
    for (const Child& child : children) {
      const Inode& inode = tree.inodes()[child.inode];
      const char* type = S_ISDIR(inode.mode)   ? "/"
                         : S_ISLNK(inode.mode) ? "@"
                         : S_ISCHR(inode.mode) ? "%"
                                               : "";
      text += fmt::format("{}{}{}{}*{}", text.empty() ? "" : " ", prefix, child.name, type,
                          inode.nlink);
    }
    for (auto child = children.rbegin(); child != children.rend(); ++child) {
      if (S_ISDIR(tree.inodes()[child->inode].mode)) {
        todo.emplace_back(child->inode, prefix + child->name + "/");
      }
    }
  }
  return text;
}

TEST(LayerTree, PlacesNamesAsUnpackingDoes) {
  const struct {
    std::string_view name;
    std::vector<std::string> entries;
    std::string_view want;
  } cases[] = {
      {"nothing", {}, ""},
      {"spellings of one name",
       {Entry("reg", "a"), Entry("reg", "./a"), Entry("reg", "/a"), Entry("reg", "../a"),
        Entry("reg", "//x/.././a/"), Entry("dir", "./"), Entry("dir", "/"), Entry("dir", ""),
        Entry("dir", "b/..")},
       "a*1"},
      {"sorted by bytes",
       {Entry("reg", "b"), Entry("reg", "a.b"), Entry("dir", "a"), Entry("reg", "\xc3\xa9"),
        Entry("reg", "B")},
       "B*1 a/*2 a.b*1 b*1 \xc3\xa9*1"},
      {"missing parents", {Entry("reg", "a/b/c")}, "a/*3 a/b/*2 a/b/c*1"},
      {"parent listed later", {Entry("reg", "a/b"), Entry("dir", "a")}, "a/*2 a/b*1"},
      {"a directory again keeps its children",
       {Entry("dir", "a"), Entry("reg", "a/b"), Entry("dir", "a/")},
       "a/*2 a/b*1"},
      {"a file over a directory", {Entry("reg", "a/b/c"), Entry("reg", "a")}, "a*1"},
      {"a directory over a file",
       {Entry("reg", "a"), Entry("dir", "a"), Entry("reg", "a/b")},
       "a/*2 a/b*1"},
      {"a directory over a file over a directory is empty",
       {Entry("reg", "a/b"), Entry("reg", "a"), Entry("dir", "a")},
       "a/*2"},
      {"path shared with a replaced directory",
       {Entry("reg", "a/b/c"), Entry("reg", "a/b"), Entry("dir", "a/b"), Entry("reg", "a/b/d")},
       "a/*3 a/b/*2 a/b/d*1"},
      {"hardlinks",
       {Entry("reg", "a"), Link("hardlink", "d/b", "./a"), Link("hardlink", "c", "/a")},
       "a*3 c*3 d/*2 d/b*3"},
      {"hardlink forward", {Link("hardlink", "b", "a"), Entry("reg", "a")}, "a*2 b*2"},
      {"hardlink to a hardlink",
       {Link("hardlink", "c", "b"), Link("hardlink", "b", "a"), Entry("reg", "a")},
       "a*3 b*3 c*3"},
      {"hardlink to a symlink",
       {Link("symlink", "a", "x"), Link("hardlink", "b", "a")},
       "a@*2 b@*2"},
      {"hardlink to a file that is replaced",
       {Entry("reg", "a"), Link("hardlink", "b", "a"), Link("symlink", "a", "x")},
       "a@*1 b*1"},
      {"hardlink over its own name",
       {Entry("reg", "a"), Entry("reg", "b"), Link("hardlink", "b", "a")},
       "a*2 b*2"},
      {"hardlink into a directory that is replaced",
       {Entry("reg", "d/a"), Link("hardlink", "b", "d/a"), Entry("reg", "d")},
       "b*1 d*1"},
      {"link that is replaced before its target comes",
       {Link("hardlink", "b", "missing"), Entry("reg", "b")},
       "b*1"},
      {"whiteout", {Entry("reg", ".wh.a"), Entry("reg", "d/.wh.b")}, "a%*1 d/*2 d/b%*1"},
      {"the file wins over its whiteout",
       {Entry("reg", ".wh.a"), Entry("reg", "a"), Entry("dir", "b"), Entry("reg", ".wh.b")},
       "a*1 b/*2"},
      {"names of aufs",
       {Entry("reg", ".wh..wh.plnk/1"), Entry("reg", ".wh..wh.aufs"),
        Link("hardlink", "a", ".wh..wh.plnk/1")},
       "a*1"},
      {"whiteouts of nothing",
       {Entry("reg", ".wh."), Entry("reg", ".wh.."), Entry("reg", ".wh...")},
       ""},
      {"a directory called whiteout", {Entry("reg", ".wh.a/b")}, "a%*1"},
      {"a link called whiteout", {Link("hardlink", ".wh.a", "missing")}, "a%*1"},
      {"hidden in the root only",
       {Entry("reg", "stargz.index.json"), Entry("reg", ".prefetch.landmark"),
        Entry("reg", ".no.prefetch.landmark"), Entry("reg", "d/stargz.index.json"),
        Entry("reg", "d/.prefetch.landmark"), Entry("reg", "d/.no.prefetch.landmark")},
       "d/*2 d/.no.prefetch.landmark*1 d/.prefetch.landmark*1 d/stargz.index.json*1"},
  };
  for (const auto& c : cases) {
    SCOPED_TRACE(c.name);
    const StatusOr<LayerTree> tree = Build(c.entries);
    ASSERT_TRUE(tree.ok()) << tree.status();
    EXPECT_EQ(Listing(*tree), c.want);
  }
}

TEST(LayerTree, RefusesWhatUnpackingCouldNotMake) {
  const struct {
    std::string_view name;
    std::vector<std::string> entries;
  } cases[] = {
      {"root that is a file", {Entry("reg", "/")}},
      {"root by climbing", {Link("symlink", "a/../..", "x")}},
      {"parent is a file", {Entry("reg", "a"), Entry("reg", "a/b")}},
      {"parent is a symlink", {Link("symlink", "a", "d"), Entry("reg", "a/b")}},
      {"parent is a link", {Link("hardlink", "a", "d"), Entry("dir", "d"), Entry("reg", "a/b")}},
      {"symlink to nothing", {Entry("symlink", "a")}},
      {"hardlink to nothing", {Entry("hardlink", "a")}},
      {"hardlink to the root", {Link("hardlink", "a", "/")}},
      {"hardlink to a directory", {Entry("dir", "d"), Link("hardlink", "a", "d")}},
      {"hardlink forward to a directory", {Link("hardlink", "a", "d"), Entry("dir", "d")}},
      {"hardlink to what is missing", {Link("hardlink", "a", "b")}},
      {"hardlink below a file", {Entry("reg", "b"), Link("hardlink", "a", "b/c")}},
      {"hardlink to itself", {Link("hardlink", "a", "a")}},
      {"hardlink to what it replaces", {Entry("reg", "a"), Link("hardlink", "a", "a")}},
      {"hardlink into what it replaces", {Entry("reg", "a/b"), Link("hardlink", "a", "a/b")}},
      {"cycle", {Link("hardlink", "a", "b"), Link("hardlink", "b", "a")}},
  };
  for (const auto& c : cases) {
    SCOPED_TRACE(c.name);
    EXPECT_EQ(Build(c.entries).status().code(), StatusCode::kDataLoss);
  }
}

TEST(LayerTree, KeepsAttributes) {
  const StatusOr<LayerTree> tree = Build(
      {Entry("dir", "d",
             R"("mode":1023,"uid":1,"gid":2,"modtime":"1970-01-01T00:00:07Z","size":9)"),
       Link("symlink", "s", "../x"), Entry("char", "c", R"("mode":438,"devMajor":5,"devMinor":6)"),
       Entry("block", "b", R"("devMajor":8,"devMinor":300)"), Entry("fifo", "p", R"("devMajor":1)"),
       Entry("reg", "f", R"("mode":2541)"), Entry("reg", "i/x"),
       Entry("dir", "", R"("mode":448,"uid":9,"xattrs":{"user.a":"AA=="})")});
  ASSERT_TRUE(tree.ok()) << tree.status();
  const Inode* directory = Find(*tree, "d");
  EXPECT_EQ(directory->mode, S_IFDIR | 01777U);
  EXPECT_EQ(directory->uid, 1U);
  EXPECT_EQ(directory->gid, 2U);
  EXPECT_EQ(directory->modified_seconds, 7);
  EXPECT_EQ(directory->size_bytes, 0U);
  EXPECT_EQ(Find(*tree, "s")->symlink_target, "../x");
  EXPECT_EQ(Find(*tree, "s")->size_bytes, 4U);
  EXPECT_EQ(Find(*tree, "c")->mode, S_IFCHR | 0666U);
  EXPECT_EQ(Find(*tree, "c")->device_major, 5U);
  EXPECT_EQ(Find(*tree, "c")->device_minor, 6U);
  EXPECT_EQ(Find(*tree, "b")->device_minor, 300U);
  EXPECT_EQ(Find(*tree, "p")->mode, S_IFIFO | 0U);
  EXPECT_EQ(Find(*tree, "p")->device_major, 0U);
  EXPECT_EQ(Find(*tree, "f")->mode, S_IFREG | 04755U);
  EXPECT_EQ(Find(*tree, "i")->mode, S_IFDIR | 0755U) << "a missing parent";
  const Inode& root = tree->inodes()[LayerTree::kRoot];
  EXPECT_EQ(root.mode, S_IFDIR | 0755U) << "unpacking ignores entries that name the root";
  EXPECT_EQ(root.uid, 0U);
  EXPECT_TRUE(root.xattrs.empty());
  EXPECT_FALSE(tree->has_xattrs());
}

TEST(LayerTree, TakesAttributesOfTheLastDirectory) {
  const StatusOr<LayerTree> tree =
      Build({Entry("dir", "d", R"("mode":448,"uid":1)"), Entry("reg", "d/f"),
             Entry("dir", "d", R"("mode":493,"gid":2)")});
  ASSERT_TRUE(tree.ok()) << tree.status();
  EXPECT_EQ(Find(*tree, "d")->mode, S_IFDIR | 0755U);
  EXPECT_EQ(Find(*tree, "d")->uid, 0U);
  EXPECT_EQ(Find(*tree, "d")->gid, 2U);
}

TEST(LayerTree, GivesWhiteoutsTheirOwnerAndNothingElse) {
  const StatusOr<LayerTree> tree =
      Build({Entry("reg", ".wh.a",
                   R"("mode":511,"uid":3,"gid":4,"modtime":"1970-01-01T00:00:05Z",)"
                   R"("xattrs":{"user.a":"AA=="})")});
  ASSERT_TRUE(tree.ok()) << tree.status();
  const Inode* whiteout = Find(*tree, "a");
  EXPECT_EQ(whiteout->mode, static_cast<uint32_t>(S_IFCHR));
  EXPECT_EQ(whiteout->device_major, 0U);
  EXPECT_EQ(whiteout->device_minor, 0U);
  EXPECT_EQ(whiteout->uid, 3U);
  EXPECT_EQ(whiteout->gid, 4U);
  EXPECT_EQ(whiteout->modified_seconds, 5);
  EXPECT_FALSE(tree->has_xattrs());
}

TEST(LayerTree, MarksOpaqueDirectories) {
  const StatusOr<LayerTree> tree =
      Build({Entry("dir", "d", R"("xattrs":{"user.z":"AA==","security.a":"AQ=="})"),
             Entry("reg", "d/.wh..wh..opq"), Entry("reg", "e/.wh..wh..opq"), Entry("dir", "f")});
  ASSERT_TRUE(tree.ok()) << tree.status();
  const auto& xattrs = Find(*tree, "d")->xattrs;
  ASSERT_EQ(xattrs.size(), 3U);
  EXPECT_EQ(xattrs[0].name, "security.a");
  EXPECT_EQ(xattrs[1].name, "trusted.overlay.opaque");
  EXPECT_EQ(AsText(xattrs[1].value), "y");
  EXPECT_EQ(xattrs[2].name, "user.z");
  EXPECT_EQ(Find(*tree, "e")->xattrs.size(), 1U) << "a directory that nobody listed";
  EXPECT_TRUE(Find(*tree, "f")->xattrs.empty());
  EXPECT_TRUE(Find(*tree, "d")->children.empty());
  EXPECT_TRUE(tree->has_xattrs());
}

TEST(LayerTree, DropsForgedAndImpossibleAttributes) {
  const StatusOr<LayerTree> tree = Build({Entry(
      "dir", "d",
      R"("xattrs":{"trusted.overlay.opaque":"eQ==","trusted.overlay.redirect":"Lw==",)"
      R"("user.overlay.opaque":"eQ==","user.":"AA==","nonsense":"AA==","system.data":"AA==",)"
      R"("user.a":"AA==","trusted.b":"AA==","security.capability":"AA==",)"
      R"("system.posix_acl_access":"AA==","trusted.overlayish":"AA=="})")});
  ASSERT_TRUE(tree.ok()) << tree.status();
  std::string names;
  for (const Xattr& xattr : Find(*tree, "d")->xattrs) {
    names += xattr.name + " ";
  }
  EXPECT_EQ(names,
            "security.capability system.posix_acl_access trusted.b trusted.overlayish user.a ");
}

TEST(LayerTree, FindsLandmarks) {
  const struct {
    std::string_view name;
    std::vector<std::string> entries;
    std::optional<uint64_t> prefetch_end;
    bool no_prefetch;
  } cases[] = {
      {"none", {Content("a", 10)}, std::nullopt, false},
      {"prefetch",
       {Content("a", 10), Content(".prefetch.landmark", 50), Content("b", 70)},
       50,
       false},
      {"not in the root", {Content("d/.prefetch.landmark", 50)}, std::nullopt, false},
      {"empty file", {Entry("reg", ".prefetch.landmark")}, std::nullopt, false},
      {"directory", {Entry("dir", ".prefetch.landmark")}, std::nullopt, false},
      {"no prefetch", {Content(".no.prefetch.landmark", 10)}, std::nullopt, true},
      {"both",
       {Content(".no.prefetch.landmark", 10), Content(".prefetch.landmark", 50)},
       std::nullopt,
       true},
  };
  for (const auto& c : cases) {
    SCOPED_TRACE(c.name);
    const StatusOr<LayerTree> tree = Build(c.entries);
    ASSERT_TRUE(tree.ok()) << tree.status();
    EXPECT_EQ(tree->prefetch_end(), c.prefetch_end);
    EXPECT_EQ(tree->no_prefetch(), c.no_prefetch);
  }
}

TEST(LayerTree, LeavesOutChunksThatNoFileReads) {
  const StatusOr<LayerTree> tree = Build(
      {Content("a", 10), Content("b", 20), Content("a", 30), Content(".prefetch.landmark", 40),
       Content(".wh.c", 50), Content("d", 60), Link("hardlink", "e", "d"), Entry("dir", "d")});
  ASSERT_TRUE(tree.ok()) << tree.status();
  std::string text;
  for (const Chunk& chunk : tree->chunks()) {
    text += fmt::format("{}+{} ", chunk.blob_offset, chunk.blob_size);
  }
  EXPECT_EQ(text, "20+10 30+10 60+999940 ") << "extents end where the next member starts";
  EXPECT_EQ(Find(*tree, "a")->first_chunk, 1U);
  EXPECT_EQ(Find(*tree, "e")->first_chunk, 2U);
}

TEST(LayerTree, HonoursItsLimits) {
  const std::vector<std::string> entries = {Entry("reg", "abc/defgh")};
  EXPECT_TRUE(Build(entries, {.entries = 2, .component_bytes = 5, .depth = 2}).ok());
  EXPECT_EQ(Build(entries, {.entries = 1}).status().code(), StatusCode::kResourceExhausted);
  EXPECT_EQ(Build(entries, {.component_bytes = 4}).status().code(), StatusCode::kResourceExhausted);
  EXPECT_EQ(Build(entries, {.depth = 1}).status().code(), StatusCode::kResourceExhausted);
  EXPECT_EQ(Build({Entry("reg", std::string(256, 'x'))}).status().code(),
            StatusCode::kResourceExhausted)
      << "the kernel has no longer names";
}

TEST(LayerTree, TakesAnyDepth) {
  std::string deep = "d";
  for (int i = 1; i < 4096; ++i) {
    deep += "/d";
  }
  const TocLimits limits{.name_bytes = 10'000};
  const StatusOr<LayerTree> tree =
      Build({Entry("dir", deep), Entry("reg", deep + "/../f"), Entry("reg", "f")}, limits);
  ASSERT_TRUE(tree.ok()) << tree.status();
  EXPECT_EQ(tree->inodes().size(), 4096U + 1 + 2);
  EXPECT_EQ(Build({Entry("reg", deep + "/f")}, limits).status().code(),
            StatusCode::kResourceExhausted);
}

TEST(LayerTree, TakesAMillionEntries) {
  constexpr int kDirectories = 1000;
  constexpr int kFiles = 999;
  std::string json = R"({"version":1,"entries":[)";
  for (int i = 0; i < kDirectories; ++i) {
    json += fmt::format(R"({}{{"name":"{}","type":"dir"}})", i == 0 ? "" : ",", i);
    for (int k = 0; k < kFiles; ++k) {
      json += fmt::format(R"(,{{"name":"{}/{}","type":"{}"}})", (i * 7 + k) % (i + 1), i * 1000 + k,
                          k % 2 == 0 ? "reg" : "fifo");
    }
  }
  json += "]}";
  StatusOr<Toc> toc = Toc::Parse(AsBytes(json));
  ASSERT_TRUE(toc.ok()) << toc.status();
  const StatusOr<LayerTree> tree = LayerTree::Build(*std::move(toc), kPayloadEnd);
  ASSERT_TRUE(tree.ok()) << tree.status();
  EXPECT_EQ(tree->inodes().size(), 1U + kDirectories * (kFiles + 1));
  EXPECT_EQ(LayerTreeInvariants(*tree, kPayloadEnd).broken(), "");
}

TEST(LayerTree, ReplacingLargeDirectoriesAgainAndAgainIsCheap) {
  // If replacing walked over what was there, this would take 10^10 steps.
  std::string json = R"({"entries":[{"name":"d","type":"dir"})";
  for (int i = 0; i < 100'000; ++i) {
    json += fmt::format(R"(,{{"name":"d/{}","type":"reg"}})", i);
  }
  for (int i = 0; i < 100'000; ++i) {
    json += R"(,{"name":"d","type":"reg"},{"name":"d","type":"dir"})";
  }
  json += "]}";
  StatusOr<Toc> toc = Toc::Parse(AsBytes(json));
  ASSERT_TRUE(toc.ok()) << toc.status();
  const StatusOr<LayerTree> tree = LayerTree::Build(*std::move(toc), kPayloadEnd);
  ASSERT_TRUE(tree.ok()) << tree.status();
  EXPECT_EQ(Listing(*tree), "d/*2");
}

TEST(LayerTree, LongChainsOfLinksAreCheap) {
  std::string json = R"({"entries":[{"name":"0","type":"hardlink","linkName":"1"})";
  constexpr int kLinks = 200'000;
  for (int i = 1; i < kLinks; ++i) {
    json += fmt::format(R"(,{{"name":"{}","type":"hardlink","linkName":"{}"}})", i, i + 1);
  }
  const std::string open = json + "]}";
  json += fmt::format(R"(,{{"name":"{}","type":"reg"}}]}})", kLinks);
  StatusOr<Toc> toc = Toc::Parse(AsBytes(json));
  ASSERT_TRUE(toc.ok()) << toc.status();
  const StatusOr<LayerTree> tree = LayerTree::Build(*std::move(toc), kPayloadEnd);
  ASSERT_TRUE(tree.ok()) << tree.status();
  ASSERT_EQ(tree->inodes().size(), 2U);
  EXPECT_EQ(tree->inodes()[1].nlink, kLinks + 1U);
  toc = Toc::Parse(AsBytes(open));
  ASSERT_TRUE(toc.ok());
  EXPECT_EQ(LayerTree::Build(*std::move(toc), kPayloadEnd).status().code(), StatusCode::kDataLoss);
}

}  // namespace
}  // namespace starling::estargz
