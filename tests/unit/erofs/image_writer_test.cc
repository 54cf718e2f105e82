#include "erofs/image_writer.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <functional>
#include <string>
#include <vector>

#include "erofs/image_reader.h"
#include "tests/support/random_tree.h"

namespace starling::erofs {
namespace {

using testing::HasSubstr;
using testing_support::Tree;

TEST(WriteImage, RefusesWhatNoImageCanHold) {
  const struct {
    std::string_view name;
    std::function<void(Tree&)> make;
    StatusCode want;
    std::string_view message;
  } cases[] = {
      {"root is a file", [](Tree& t) { t.inodes()[0].mode = S_IFREG; },
       StatusCode::kInvalidArgument, "root"},
      {"name with a slash", [](Tree& t) { t.Add(0, "a/b", {}); }, StatusCode::kInvalidArgument,
       "a/b"},
      {"dot dot", [](Tree& t) { t.Add(0, "..", {}); }, StatusCode::kInvalidArgument, ".."},
      {"empty name", [](Tree& t) { t.Add(0, "", {}); }, StatusCode::kInvalidArgument, "name"},
      {"name too long", [](Tree& t) { t.Add(0, std::string(256, 'x'), {}); },
       StatusCode::kInvalidArgument, "name"},
      {"child beyond the inodes", [](Tree& t) { t.inodes()[0].children["a"] = 9; },
       StatusCode::kInvalidArgument, "not there"},
      {"directory with two names",
       [](Tree& t) { t.Link(0, "b", t.Add(0, "a", {.mode = S_IFDIR})); },
       StatusCode::kInvalidArgument, "another name"},
      {"root below itself", [](Tree& t) { t.Link(0, "a", 0); }, StatusCode::kInvalidArgument,
       "another name"},
      {"no file type", [](Tree& t) { t.Add(0, "a", {.mode = 0644}); }, StatusCode::kInvalidArgument,
       "mode"},
      {"no links", [](Tree& t) { t.inodes()[t.Add(0, "a", {})].nlink = 0; },
       StatusCode::kInvalidArgument, "links"},
      {"nanoseconds", [](Tree& t) { t.Add(0, "a", {.modified_nanoseconds = 1'000'000'000}); },
       StatusCode::kInvalidArgument, "inode 1"},
      {"empty target", [](Tree& t) { t.Add(0, "a", {.mode = S_IFLNK}); },
       StatusCode::kInvalidArgument, "target"},
      {"target too long",
       [](Tree& t) { t.Add(0, "a", {.mode = S_IFLNK, .symlink_target = std::string(4096, 'x')}); },
       StatusCode::kInvalidArgument, "target"},
      {"unaligned content",
       [](Tree& t) { t.inodes()[t.Add(0, "a", {.size_bytes = 9})].data_address = 1; },
       StatusCode::kInvalidArgument, "block"},
      {"content beyond the device",
       [](Tree& t) { t.inodes()[t.Add(0, "a", {.size_bytes = 9})].data_address = 4096; },
       StatusCode::kInvalidArgument, "beyond"},
      {"xattr of an unknown kind", [](Tree& t) { t.inodes()[0].xattrs["system.x"] = "1"; },
       StatusCode::kInvalidArgument, "system.x"},
      {"xattr without a name", [](Tree& t) { t.inodes()[0].xattrs["user."] = "1"; },
       StatusCode::kInvalidArgument, "user."},
      {"xattr value too large",
       [](Tree& t) { t.inodes()[0].xattrs["user.a"] = std::string(65536, 'x'); },
       StatusCode::kResourceExhausted, "user.a"},
      {"xattrs too large together",
       [](Tree& t) {
         for (int i = 0; i < 5; ++i) {
           t.inodes()[0].xattrs[fmt::format("user.{}", i)] = std::string(65535, 'x');
         }
       },
       StatusCode::kResourceExhausted, "xattrs"},
      {"device number", [](Tree& t) { t.Add(0, "a", {.mode = S_IFCHR, .device_major = 4096}); },
       StatusCode::kResourceExhausted, "4096:0"},
  };
  for (const auto& c : cases) {
    SCOPED_TRACE(c.name);
    Tree tree;
    c.make(tree);
    const auto image = tree.Image();
    EXPECT_EQ(image.status().code(), c.want);
    EXPECT_THAT(MessageOf(image.status()), HasSubstr(c.message));
  }
}

TEST(WriteImage, RefusesChildrenOutOfOrder) {
  const ChildSpec children[] = {{.name = "b", .inode = 1}, {.name = "a", .inode = 1}};
  const InodeSpec inodes[] = {{.mode = S_IFDIR, .children = children}, {.mode = S_IFREG}};
  EXPECT_EQ(WriteImage(inodes, 0).status().code(), StatusCode::kInvalidArgument);
}

TEST(WriteImage, RefusesADeviceThatBlockNumbersCannotReach) {
  const InodeSpec root = {.mode = S_IFDIR};
  EXPECT_TRUE(WriteImage(std::span(&root, 1), (1ULL << 44) - 2 * kBlockBytes).ok());
  EXPECT_EQ(WriteImage(std::span(&root, 1), 1ULL << 44).status().code(),
            StatusCode::kResourceExhausted);
}

TEST(WriteImage, RefusesDevicesThatItDoesNotHave) {
  const ChildSpec child = {.name = "f", .inode = 1};
  InodeSpec inodes[] = {{.mode = S_IFDIR | 0755, .children = std::span(&child, 1)},
                        {.mode = S_IFREG | 0644, .size_bytes = 1}};
  const uint64_t devices[] = {kBlockBytes, 0};
  const struct {
    uint16_t device;
    StatusCode want;
  } cases[] = {{1, StatusCode::kOk},
               {2, StatusCode::kInvalidArgument},  // which is empty
               {0, StatusCode::kInvalidArgument},
               {3, StatusCode::kInvalidArgument}};
  for (const auto& c : cases) {
    SCOPED_TRACE(c.device);
    inodes[1].data_device = c.device;
    EXPECT_EQ(WriteImage(inodes, devices).status().code(), c.want);
  }
  EXPECT_EQ(WriteImage(inodes, std::span<const uint64_t>()).status().code(),
            StatusCode::kResourceExhausted);
}

TEST(WriteImage, HasRoomForTheLongestDeviceTable) {
  const InodeSpec root = {.mode = S_IFDIR | 0755};
  std::vector<uint64_t> devices(16000, kBlockBytes);
  const auto image = WriteImage(std::span(&root, 1), devices);
  ASSERT_TRUE(image.ok()) << Describe(image.status());
  const auto reader = ImageReader::Open(*image, 16000);
  ASSERT_TRUE(reader.ok()) << Describe(reader.status());
  EXPECT_EQ(reader->data_device_bytes(16000), kBlockBytes);
  devices.push_back(0);
  EXPECT_EQ(WriteImage(std::span(&root, 1), devices).status().code(),
            StatusCode::kResourceExhausted);
}

TEST(WriteImage, HoldsAMillionInodes) {
  constexpr uint32_t kDirectories = 1000;
  constexpr uint32_t kFiles = 1000;  // in each
  std::vector<std::string> names;
  for (uint32_t i = 0; i < kFiles; ++i) {
    names.push_back(fmt::format("{:03}", i));
  }
  // The root, its directories, then the files of the first directory, of the second, ...
  std::vector<std::vector<ChildSpec>> children(1 + kDirectories);
  std::vector<InodeSpec> inodes(1 + kDirectories, {.mode = S_IFDIR | 0755});
  for (uint32_t i = 0; i < kDirectories; ++i) {
    children[0].push_back({.name = names[i], .inode = 1 + i});
    for (uint32_t j = 0; j < kFiles; ++j) {
      children[1 + i].push_back({.name = names[j], .inode = static_cast<uint32_t>(inodes.size())});
      inodes.push_back({.mode = S_IFREG | 0644,
                        .size_bytes = 1,
                        .data_address = (uint64_t{i} * kFiles + j) * kBlockBytes});
    }
  }
  for (uint32_t i = 0; i <= kDirectories; ++i) {
    inodes[i].children = children[i];
  }
  const auto image = WriteImage(inodes, uint64_t{kDirectories} * kFiles * kBlockBytes);
  ASSERT_TRUE(image.ok()) << Describe(image.status());
  EXPECT_LT(image->size(), 150'000'000);
  const ImageReader reader = *ImageReader::Open(*image);
  const Nid last = *reader.Lookup(*reader.Lookup(reader.root(), "999"), "999");
  EXPECT_EQ(reader.Stat(last)->data_address, (1'000'000 - 1) * kBlockBytes);
}

TEST(WriteImage, KeepsSmallTreesInOneBlock) {
  Tree tree;
  tree.Add(0, "link", {.mode = S_IFLNK, .symlink_target = "target"});
  tree.Add(0, "file", {.size_bytes = 4096});
  EXPECT_EQ(tree.Image()->size(), 2 * kBlockBytes) << "the superblock's and one for the rest";
}

}  // namespace
}  // namespace starling::erofs
