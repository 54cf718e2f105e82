#include "erofs/merge.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cstring>
#include <functional>
#include <map>
#include <string>
#include <vector>

#include "tests/support/random_tree.h"

namespace starling::erofs {
namespace {

using testing::ElementsAre;
using testing::HasSubstr;
using testing_support::Tree;
using testing_support::TreeGenerator;
using testing_support::TreeInode;

/// A layer made of paths: "d/" is a directory, "d/*" makes it opaque ("/*" the root), "f!" is a
/// whiteout, "a=b" another name of b, and anything else a file with content. Parents come first.
class PathLayer {
 public:
  explicit PathLayer(const std::vector<std::string>& paths) {
    numbers_[""] = 0;
    for (std::string path : paths) {
      if (path.ends_with("/*")) {
        path.resize(path.size() - 2);
        tree_.inodes()[numbers_.at(path)].xattrs["trusted.overlay.opaque"] = "y";
        continue;
      }
      if (const size_t equals = path.find('='); equals != std::string::npos) {
        const auto [parent, name] = Split(path.substr(0, equals));
        tree_.Link(parent, name, numbers_.at(path.substr(equals + 1)));
        continue;
      }
      TreeInode inode = {.size_bytes = 100};
      if (path.ends_with('/') || path.ends_with('!')) {
        inode = {.mode = path.ends_with('/') ? S_IFDIR | 0755U : S_IFCHR | 0U};
        path.pop_back();
      }
      const auto [parent, name] = Split(path);
      numbers_[path] = tree_.Add(parent, name, inode);
    }
  }
  Tree& tree() { return tree_; }

 private:
  std::pair<uint32_t, std::string> Split(const std::string& path) const {
    const size_t slash = path.rfind('/');
    return slash == std::string::npos
               ? std::pair(0U, path)
               : std::pair(numbers_.at(path.substr(0, slash)), path.substr(slash + 1));
  }

  Tree tree_;
  std::map<std::string, uint32_t> numbers_;
};

/// What an image shows: "d/" for a directory, "f@2" for a file whose content is on device 2, with
/// "x3" behind it when it has 3 names.
void List(const ImageReader& reader, Nid directory, const std::string& prefix,
          std::vector<std::string>& paths) {
  const Status status =
      reader.ReadDirectory(directory, 0, [&](const ImageReader::DirectoryEntry& entry) {
        const Attributes attributes = *reader.Stat(entry.nid);
        std::string path = prefix + std::string(entry.name);
        if (entry.name == "." || entry.name == "..") {
          return true;
        }
        if (S_ISDIR(attributes.mode)) {
          paths.push_back(path + "/");
          List(reader, entry.nid, path + "/", paths);
          return true;
        }
        path += fmt::format("@{}", attributes.data_device);
        paths.push_back(attributes.nlink == 1 ? path
                                              : fmt::format("{}x{}", path, attributes.nlink));
        return true;
      });
  EXPECT_TRUE(status.ok()) << status;
}

StatusOr<Bytes> Merge(const std::vector<Tree>& trees) {
  std::vector<Bytes> images;
  std::vector<ImageReader> readers;
  for (const Tree& tree : trees) {
    images.push_back(*tree.Image());
    readers.push_back(*ImageReader::Open(images.back()));
  }
  return MergeImages(readers);
}

ImageReader OpenMerged(const Bytes& image, size_t layers) {
  const auto reader = ImageReader::Open(image, static_cast<uint16_t>(layers));
  EXPECT_TRUE(reader.ok()) << reader.status();
  return *reader;
}

TEST(MergeImages, ShowsWhatOverlayfsWould) {
  const struct {
    std::string_view name;
    std::vector<std::vector<std::string>> layers;  // bottom first
    std::vector<std::string> want;
  } cases[] = {
      {"one layer", {{"d/", "d/f"}}, {"d/", "d/f@1"}},
      {"above replaces below", {{"f", "g"}, {"f"}}, {"f@2", "g@1"}},
      {"directories unite", {{"d/", "d/a"}, {"d/", "d/b"}}, {"d/", "d/a@1", "d/b@2"}},
      {"whiteout", {{"a", "b"}, {"a!"}}, {"b@1"}},
      {"whiteout of nothing", {{"a"}, {"b!"}}, {"a@1"}},
      {"whiteout in the lowest layer", {{"a!", "d/", "d/b!"}}, {"d/"}},
      {"whiteout of a directory", {{"d/", "d/a"}, {"d!"}}, {}},
      {"deleted and made again", {{"d/", "d/a"}, {"d!"}, {"d/", "d/b"}}, {"d/", "d/b@3"}},
      {"opaque", {{"d/", "d/a"}, {"d/", "d/*", "d/b"}}, {"d/", "d/b@2"}},
      {"opaque with a layer above",
       {{"d/", "d/a"}, {"d/", "d/*", "d/b"}, {"d/", "d/c"}},
       {"d/", "d/b@2", "d/c@3"}},
      {"an opaque root hides nothing", {{"a"}, {"/*", "b"}}, {"a@1", "b@2"}},
      {"file over directory", {{"d/", "d/a"}, {"d"}}, {"d@2"}},
      {"directory over file", {{"d"}, {"d/", "d/a"}}, {"d/", "d/a@2"}},
      {"a file separates directories", {{"d/", "d/a"}, {"d"}, {"d/", "d/b"}}, {"d/", "d/b@3"}},
      {"hard links", {{"a", "b=a"}, {"c"}}, {"a@1x2", "b@1x2", "c@2"}},
      {"a hidden hard link", {{"a", "b=a", "c=a"}, {"b!"}}, {"a@1x2", "c@1x2"}},
      {"a replaced hard link", {{"a", "b=a"}, {"a"}}, {"a@2", "b@1"}},
      {"hard links of two layers",
       {{"a", "b=a"}, {"c", "d=c"}},
       {"a@1x2", "b@1x2", "c@2x2", "d@2x2"}},
  };
  for (const auto& c : cases) {
    SCOPED_TRACE(c.name);
    std::vector<Tree> trees;
    for (const auto& layer : c.layers) {
      trees.push_back(PathLayer(layer).tree());
    }
    const auto image = Merge(trees);
    ASSERT_TRUE(image.ok()) << image.status();
    const ImageReader reader = OpenMerged(*image, trees.size());
    std::vector<std::string> shown;
    List(reader, reader.root(), "", shown);
    EXPECT_EQ(shown, c.want);
  }
}

TEST(MergeImages, DirectoriesHaveTheAttributesOfTheTopmost) {
  Tree lower;
  Tree upper;
  lower.inodes()[0].mode = S_IFDIR | 0700;
  lower.inodes()[0].xattrs["user.a"] = "lower";
  TreeInode directory = {.mode = S_IFDIR | 0700, .uid = 1};
  directory.xattrs["user.b"] = "lower";
  lower.Add(lower.Add(0, "d", directory), "sub", {.mode = S_IFDIR | 0755});
  upper.inodes()[0].mode = S_IFDIR | 0711;
  upper.inodes()[0].modified_seconds = 5;
  directory = {.mode = S_IFDIR | 0750, .gid = 7, .modified_nanoseconds = 8};
  directory.xattrs = {{"user.c", "upper"}, {"trusted.overlay.opaque", "y"}};
  upper.Add(0, "d", directory);
  const Bytes image = *Merge({lower, upper});
  const ImageReader reader = OpenMerged(image, 2);
  const Attributes root = *reader.Stat(reader.root());
  EXPECT_EQ(root.mode, S_IFDIR | 0711U);
  EXPECT_EQ(root.modified_seconds, 5);
  EXPECT_EQ(root.nlink, 3U);
  EXPECT_THAT(*reader.ListXattrs(reader.root()), ElementsAre());
  const Nid united = *reader.Lookup(reader.root(), "d");
  const Attributes attributes = *reader.Stat(united);
  EXPECT_EQ(attributes.mode, S_IFDIR | 0750U);
  EXPECT_EQ(attributes.uid, 0U);
  EXPECT_EQ(attributes.gid, 7U);
  EXPECT_EQ(attributes.modified_nanoseconds, 8U);
  EXPECT_EQ(attributes.nlink, 2U) << "its subdirectory is hidden";
  EXPECT_THAT(*reader.ListXattrs(united), ElementsAre("user.c")) << "opaque has done its work";
}

TEST(MergeImages, FilesKeepEverything) {
  Tree lower;
  Tree upper;
  TreeInode file = {.mode = S_IFREG | 04755,
                    .uid = 3,
                    .gid = 4,
                    .size_bytes = 10'000,
                    .modified_seconds = -5,
                    .modified_nanoseconds = 6};
  file.xattrs["security.capability"] = std::string("\1\0\2", 3);
  lower.Add(0, "before", {.size_bytes = 1});
  lower.Add(0, "file", file);
  upper.Add(0, "device", {.mode = S_IFBLK | 0600, .device_major = 8, .device_minor = 300});
  upper.Add(0, "link", {.mode = S_IFLNK | 0777, .symlink_target = "some/where"});
  const Bytes image = *Merge({lower, upper});
  const ImageReader reader = OpenMerged(image, 2);
  EXPECT_EQ(reader.data_device_bytes(1), lower.data_bytes());
  EXPECT_EQ(reader.data_device_bytes(2), 0U);
  const Nid nid = *reader.Lookup(reader.root(), "file");
  const Attributes got = *reader.Stat(nid);
  EXPECT_EQ(got.mode, S_IFREG | 04755U);
  EXPECT_EQ(got.uid, 3U);
  EXPECT_EQ(got.gid, 4U);
  EXPECT_EQ(got.size_bytes, 10'000U);
  EXPECT_EQ(got.modified_seconds, -5);
  EXPECT_EQ(got.modified_nanoseconds, 6U);
  EXPECT_EQ(got.data_device, 1);
  EXPECT_EQ(got.data_address, kBlockBytes);
  EXPECT_EQ(AsText(*reader.GetXattr(nid, "security.capability")), std::string("\1\0\2", 3));
  const Attributes device = *reader.Stat(*reader.Lookup(reader.root(), "device"));
  EXPECT_EQ(device.device_major, 8U);
  EXPECT_EQ(device.device_minor, 300U);
  EXPECT_EQ(*reader.ReadLink(*reader.Lookup(reader.root(), "link")), "some/where");
}

TEST(MergeImages, RefusesWhatOnlyAnOverlayUnderstands) {
  const struct {
    std::string_view name;
    std::function<void(Tree&)> make;  // of the upper layer
    StatusCode want;
  } cases[] = {
      {"redirect",
       [](Tree& t) {
         t.inodes()[t.Add(0, "d", {.mode = S_IFDIR})].xattrs["trusted.overlay.redirect"] = "/e";
       },
       StatusCode::kUnimplemented},
      {"metadata only",
       [](Tree& t) { t.inodes()[t.Add(0, "f", {})].xattrs["trusted.overlay.metacopy"] = ""; },
       StatusCode::kUnimplemented},
      {"whiteouts of another kind",
       [](Tree& t) {
         t.inodes()[t.Add(0, "d", {.mode = S_IFDIR})].xattrs["trusted.overlay.opaque"] = "x";
       },
       StatusCode::kUnimplemented},
      {"at the root", [](Tree& t) { t.inodes()[0].xattrs["trusted.overlay.redirect"] = "/e"; },
       StatusCode::kUnimplemented},
      {"another file system's attribute",
       [](Tree& t) { t.inodes()[t.Add(0, "f", {})].xattrs["trusted.overlays"] = ""; },
       StatusCode::kOk},
  };
  for (const auto& c : cases) {
    SCOPED_TRACE(c.name);
    Tree lower;
    lower.Add(0, "d", {.mode = S_IFDIR});
    Tree upper;
    c.make(upper);
    EXPECT_EQ(Merge({lower, upper}).status().code(), c.want);
  }
  EXPECT_EQ(MergeImages({}).status().code(), StatusCode::kInvalidArgument);
}

TEST(MergeImages, WhatIsHiddenMayHaveWhatItWants) {
  Tree lower;
  lower.inodes()[lower.Add(0, "f", {})].xattrs["trusted.overlay.metacopy"] = "";
  EXPECT_TRUE(Merge({lower, PathLayer({"f"}).tree()}).ok());
}

TEST(MergeImages, RefusesADirectoryThatContainsItself) {
  // "d/e" is made to name "d".
  PathLayer layer({"d/", "d/e/"});
  Bytes image = *layer.tree().Image();
  const ImageReader reader = *ImageReader::Open(image);
  const Nid d = *reader.Lookup(reader.root(), "d");
  const Nid e = *reader.Lookup(d, "e");
  for (size_t at = 0; at + sizeof e <= image.size(); at += 4) {
    Nid found = 0;
    std::memcpy(&found, image.data() + at, sizeof found);
    if (found == e) {
      std::memcpy(image.data() + at, &d, sizeof d);
    }
  }
  const ImageReader damaged = *ImageReader::Open(image);
  EXPECT_EQ(MergeImages(std::span(&damaged, 1)).status().code(), StatusCode::kDataLoss);
}

TEST(MergeImages, HasRoomForManyLayers) {
  std::vector<Tree> trees;
  for (int i = 0; i < 100; ++i) {
    trees.push_back(PathLayer({fmt::format("f{:02}", i), "last"}).tree());
  }
  const auto image = Merge(trees);
  ASSERT_TRUE(image.ok()) << image.status();
  const ImageReader reader = OpenMerged(*image, 100);
  EXPECT_EQ(reader.Stat(*reader.Lookup(reader.root(), "f00"))->data_device, 1);
  EXPECT_EQ(reader.Stat(*reader.Lookup(reader.root(), "f99"))->data_device, 100);
  EXPECT_EQ(reader.Stat(*reader.Lookup(reader.root(), "last"))->data_device, 100);
  EXPECT_EQ(reader.inode_count(), 102U);
}

TEST(MergeImages, TheSameLayersGiveTheSameBytes) {
  for (uint64_t seed = 1; seed <= 30; ++seed) {
    SCOPED_TRACE(seed);
    std::vector<Tree> trees;
    for (uint64_t layer = 0; layer < 4; ++layer) {
      trees.push_back(TreeGenerator(seed * 10 + layer, TreeGenerator::Names::kFew).Make(60));
    }
    const auto image = Merge(trees);
    ASSERT_TRUE(image.ok()) << image.status();
    EXPECT_EQ(*Merge(trees), *image);
    std::vector<std::string> paths;
    List(OpenMerged(*image, 4), OpenMerged(*image, 4).root(), "", paths);
    EXPECT_GT(paths.size(), 10U);
  }
}

}  // namespace
}  // namespace starling::erofs
