#include "erofs/image_reader.h"

#include <dirent.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <set>

#include "erofs/format.h"
#include "tests/support/random_tree.h"

namespace starling::erofs {
namespace {

using testing::ElementsAre;
using testing_support::Tree;
using testing_support::TreeGenerator;
using testing_support::TreeInode;

std::vector<std::string> Names(const ImageReader& reader, Nid directory) {
  std::vector<std::string> names;
  EXPECT_TRUE(reader
                  .ReadDirectory(directory, 0,
                                 [&](const ImageReader::DirectoryEntry& entry) {
                                   names.emplace_back(entry.name);
                                   return true;
                                 })
                  .ok());
  return names;
}

/// Compares everything below `nid` with the model.
class Comparison {
 public:
  Comparison(const ImageReader& reader, const Tree& tree) : reader_(reader), tree_(tree) {}

  void Compare(Nid nid, uint32_t number) {
    const TreeInode& want = tree_.inodes()[number];
    const auto [seen, is_new] = nids_.emplace(number, nid);
    EXPECT_EQ(seen->second, nid) << "a hard link is one inode";
    if (!is_new) {
      return;
    }
    const auto got = reader_.Stat(nid);
    ASSERT_TRUE(got.ok()) << Describe(got.status());
    EXPECT_EQ(got->mode, want.mode);
    EXPECT_EQ(got->uid, want.uid);
    EXPECT_EQ(got->gid, want.gid);
    EXPECT_EQ(got->nlink, want.nlink);
    EXPECT_EQ(got->modified_seconds, want.modified_seconds);
    EXPECT_EQ(got->modified_nanoseconds, want.modified_nanoseconds);
    EXPECT_EQ(got->device_major, want.device_major);
    EXPECT_EQ(got->device_minor, want.device_minor);
    EXPECT_EQ(got->data_address, want.data_address);
    CompareXattrs(nid, want);
    if (want.type() == S_IFREG) {
      EXPECT_EQ(got->size_bytes, want.size_bytes);
    } else if (want.type() == S_IFLNK) {
      EXPECT_EQ(*reader_.ReadLink(nid), want.symlink_target);
      EXPECT_EQ(got->size_bytes, want.symlink_target.size());
    } else if (want.type() == S_IFDIR) {
      CompareDirectory(nid, number);
    }
  }

  size_t inodes_seen() const { return nids_.size(); }

 private:
  void CompareXattrs(Nid nid, const TreeInode& want) {
    std::vector<std::string> names;
    for (const auto& [name, value] : want.xattrs) {
      names.push_back(name);
      const auto got = reader_.GetXattr(nid, name);
      ASSERT_TRUE(got.ok()) << name;
      EXPECT_EQ(AsText(*got), value);
    }
    EXPECT_EQ(*reader_.ListXattrs(nid), names);
    EXPECT_EQ(reader_.GetXattr(nid, "user.not there").status().code(), StatusCode::kNotFound);
  }

  void CompareDirectory(Nid nid, uint32_t number) {
    const TreeInode& directory = tree_.inodes()[number];
    std::map<std::string, Nid> entries;
    std::vector<std::string> in_order;
    ASSERT_TRUE(reader_
                    .ReadDirectory(nid, 0,
                                   [&](const ImageReader::DirectoryEntry& entry) {
                                     entries[std::string(entry.name)] = entry.nid;
                                     in_order.emplace_back(entry.name);
                                     return true;
                                   })
                    .ok());
    EXPECT_TRUE(std::is_sorted(in_order.begin(), in_order.end()));
    EXPECT_EQ(entries.size(), in_order.size());
    ASSERT_EQ(entries.size(), directory.children.size() + 2);
    EXPECT_EQ(entries["."], nid);
    EXPECT_EQ(entries[".."], nids_.at(directory.parent));
    EXPECT_EQ(reader_.Lookup(nid, "..").value_or(0), nids_.at(directory.parent));
    for (const auto& [name, child] : directory.children) {
      ASSERT_TRUE(entries.contains(name));
      EXPECT_EQ(reader_.Lookup(nid, name).value_or(0), entries[name]);
      EXPECT_EQ(reader_.Lookup(nid, name + "x").ok(), directory.children.contains(name + "x"));
      Compare(entries[name], child);
    }
  }

  const ImageReader& reader_;
  const Tree& tree_;
  std::map<uint32_t, Nid> nids_;
};

TEST(ImageReader, ReadsWhatTheWriterWroteForRandomTrees) {
  for (uint64_t seed = 1; seed <= 60; ++seed) {
    SCOPED_TRACE(seed);
    const Tree tree = TreeGenerator(seed).Make(1 + seed * 17);
    const auto image = tree.Image();
    ASSERT_TRUE(image.ok()) << Describe(image.status());
    const auto reader = ImageReader::Open(*image);
    ASSERT_TRUE(reader.ok()) << Describe(reader.status());
    EXPECT_EQ(reader->inode_count(), tree.inodes().size());
    EXPECT_EQ(reader->data_device_bytes(), tree.data_bytes());
    Comparison comparison(*reader, tree);
    comparison.Compare(reader->root(), 0);
    EXPECT_EQ(comparison.inodes_seen(), tree.inodes().size());
    EXPECT_EQ(*tree.Image(), *image) << "the same tree gives the same bytes";
  }
}

TEST(ImageReader, OpensAnImageWithAsManyDevicesAsExpected) {
  const ChildSpec child = {.name = "f", .inode = 1};
  const InodeSpec inodes[] = {
      {.mode = S_IFDIR | 0755, .children = std::span(&child, 1)},
      {.mode = S_IFREG | 0644, .size_bytes = 9, .data_address = kBlockBytes, .data_device = 2}};
  const uint64_t devices[] = {kBlockBytes, 2 * kBlockBytes};
  const Bytes image = *WriteImage(inodes, devices);
  for (const uint16_t other : std::initializer_list<uint16_t>{0, 1, 3, 65535}) {
    EXPECT_EQ(ImageReader::Open(image, other).status().code(), StatusCode::kDataLoss) << other;
  }
  const ImageReader reader = *ImageReader::Open(image, 2);
  EXPECT_EQ(reader.data_device_bytes(1), kBlockBytes);
  EXPECT_EQ(reader.data_device_bytes(2), 2 * kBlockBytes);
  const Attributes file = *reader.Stat(*reader.Lookup(reader.root(), "f"));
  EXPECT_EQ(file.data_device, 2);
  EXPECT_EQ(file.data_address, kBlockBytes);
}

TEST(ImageReader, FindsEveryNameOfALargeDirectory) {
  Tree tree;
  const uint32_t file = tree.Add(0, "file", {});
  const uint32_t directory = tree.Add(0, "large", {.mode = S_IFDIR | 0755});
  constexpr int kEntries = 100'000;
  for (int i = 0; i < kEntries; ++i) {
    tree.Link(directory, fmt::format("name-{}", i), file);
  }
  const Bytes image = *tree.Image();
  const ImageReader reader = *ImageReader::Open(image);
  const Nid large = *reader.Lookup(reader.root(), "large");
  const Nid linked = *reader.Lookup(reader.root(), "file");
  for (int i = 0; i < kEntries; i += 7) {
    EXPECT_EQ(reader.Lookup(large, fmt::format("name-{}", i)).value_or(0), linked);
  }
  EXPECT_EQ(reader.Lookup(large, "name-100000").status().code(), StatusCode::kNotFound);
  EXPECT_EQ(reader.Lookup(large, "").status().code(), StatusCode::kNotFound);
  EXPECT_EQ(Names(reader, large).size(), kEntries + 2);
  EXPECT_EQ(reader.Stat(linked)->nlink, kEntries + 1);
}

TEST(ImageReader, ContinuesADirectoryAtEveryCookie) {
  const Tree tree = TreeGenerator(3).Make(2000);
  const Bytes image = *tree.Image();
  const ImageReader reader = *ImageReader::Open(image);
  std::vector<std::string> one_by_one;
  uint64_t cookie = 0;
  bool more = true;
  while (more) {
    more = false;
    ASSERT_TRUE(reader
                    .ReadDirectory(reader.root(), cookie,
                                   [&](const ImageReader::DirectoryEntry& entry) {
                                     one_by_one.emplace_back(entry.name);
                                     EXPECT_GT(entry.next_cookie, cookie);
                                     cookie = entry.next_cookie;
                                     more = true;
                                     return false;
                                   })
                    .ok());
  }
  EXPECT_EQ(one_by_one, Names(reader, reader.root()));
  EXPECT_GT(image.size(), 10 * kBlockBytes) << "the root should have several blocks";
}

TEST(ImageReader, SortsDotsAmongNames) {
  Tree tree;
  for (const char* name : {"!", ".-", "..x", ".a", "-", "a"}) {
    tree.Add(0, name, {});
  }
  const Bytes image = *tree.Image();
  const ImageReader reader = *ImageReader::Open(image);
  EXPECT_THAT(Names(reader, reader.root()),
              ElementsAre("!", "-", ".", ".-", "..", "..x", ".a", "a"));
}

TEST(ImageReader, TellsFileTypesInDirectories) {
  Tree tree;
  tree.Add(0, "reg", {.mode = S_IFREG});
  tree.Add(0, "dir", {.mode = S_IFDIR});
  tree.Add(0, "lnk", {.mode = S_IFLNK, .symlink_target = "x"});
  tree.Add(0, "chr", {.mode = S_IFCHR});
  tree.Add(0, "blk", {.mode = S_IFBLK});
  tree.Add(0, "fifo", {.mode = S_IFIFO});
  tree.Add(0, "sock", {.mode = S_IFSOCK});
  const Bytes image = *tree.Image();
  const ImageReader reader = *ImageReader::Open(image);
  std::map<std::string, uint32_t> types;
  ASSERT_TRUE(reader
                  .ReadDirectory(reader.root(), 0,
                                 [&](const ImageReader::DirectoryEntry& entry) {
                                   types[std::string(entry.name)] = entry.file_type;
                                   return true;
                                 })
                  .ok());
  EXPECT_EQ(types, (std::map<std::string, uint32_t>{{".", DT_DIR},
                                                    {"..", DT_DIR},
                                                    {"reg", DT_REG},
                                                    {"dir", DT_DIR},
                                                    {"lnk", DT_LNK},
                                                    {"chr", DT_CHR},
                                                    {"blk", DT_BLK},
                                                    {"fifo", DT_FIFO},
                                                    {"sock", DT_SOCK}}));
}

TEST(ImageReader, RefusesTheWrongKindOfInode) {
  Tree tree;
  tree.Add(0, "file", {});
  const Bytes image = *tree.Image();
  const ImageReader reader = *ImageReader::Open(image);
  const Nid file = *reader.Lookup(reader.root(), "file");
  EXPECT_EQ(reader.Lookup(file, "x").status().code(), StatusCode::kInvalidArgument);
  EXPECT_EQ(reader.ReadLink(file).status().code(), StatusCode::kInvalidArgument);
  EXPECT_EQ(reader.ReadDirectory(file, 0, [](const auto&) { return true; }).code(),
            StatusCode::kInvalidArgument);
  EXPECT_EQ(reader.Stat(1ULL << 60).status().code(), StatusCode::kDataLoss);
}

TEST(ImageReader, HoldsAFileOfSixteenTebibytes) {
  constexpr uint64_t kHuge = (1ULL << 44) - 2 * kBlockBytes;
  const InodeSpec without_name = {.mode = S_IFREG, .size_bytes = kHuge - 5, .data_address = 0};
  const ChildSpec child = {.name = "huge", .inode = 1};
  const InodeSpec inodes[] = {{.mode = S_IFDIR, .children = std::span(&child, 1)}, without_name};
  const auto image = WriteImage(inodes, kHuge);
  ASSERT_TRUE(image.ok()) << Describe(image.status());
  const ImageReader reader = *ImageReader::Open(*image);
  const auto huge = reader.Stat(*reader.Lookup(reader.root(), "huge"));
  ASSERT_TRUE(huge.ok()) << Describe(huge.status());
  EXPECT_EQ(huge->size_bytes, kHuge - 5);
  EXPECT_EQ(huge->data_address, 0);
}

TEST(ImageReader, OpensOnlyOwnImages) {
  const Bytes image = *TreeGenerator(1).Make(50).Image();
  const struct {
    std::string_view name;
    std::function<void(Bytes&)> damage;
  } cases[] = {
      {"empty", [](Bytes& bytes) { bytes.clear(); }},
      {"truncated", [](Bytes& bytes) { bytes.resize(bytes.size() - kBlockBytes); }},
      {"not whole blocks", [](Bytes& bytes) { bytes.resize(bytes.size() - 1); }},
      {"magic", [](Bytes& bytes) { bytes[1024] ^= std::byte{1}; }},
      {"block size", [](Bytes& bytes) { bytes[1024 + 12] = std::byte{9}; }},
      {"an unknown feature", [](Bytes& bytes) { bytes[1024 + 80] |= std::byte{1}; }},
      {"no device", [](Bytes& bytes) { bytes[1024 + 86] = std::byte{0}; }},
      {"root elsewhere", [](Bytes& bytes) { bytes[1024 + 14] = std::byte{0}; }},
      {"too many inodes", [](Bytes& bytes) { bytes[1024 + 20] = std::byte{1}; }},
  };
  for (const auto& c : cases) {
    SCOPED_TRACE(c.name);
    Bytes damaged = image;
    c.damage(damaged);
    EXPECT_EQ(ImageReader::Open(damaged).status().code(), StatusCode::kDataLoss);
  }
}

/// Touches all that is reachable, `depth` levels deep; what fails must say that it is damaged.
void WalkDamaged(const ImageReader& reader, Nid nid, int depth, int& budget) {
  const auto attributes = reader.Stat(nid);
  if (attributes.ok() && S_ISREG(attributes->mode)) {
    EXPECT_LE(attributes->size_bytes, reader.data_device_bytes());
  }
  (void)reader.ReadLink(nid);
  (void)reader.ListXattrs(nid);
  (void)reader.GetXattr(nid, "user.a");
  (void)reader.Lookup(nid, "name");
  (void)reader.ReadDirectory(nid, 0, [&](const ImageReader::DirectoryEntry& entry) {
    if (depth > 0 && budget > 0) {
      --budget;
      WalkDamaged(reader, entry.nid, depth - 1, budget);
    }
    return budget > 0;
  });
}

TEST(ImageReader, SurvivesDamageAnywhere) {
  const Bytes image = *TreeGenerator(5).Make(120).Image();
  std::mt19937_64 random(1);
  for (int round = 0; round < 1000; ++round) {
    Bytes damaged = image;
    for (uint64_t hits = 1 + random() % 20; hits > 0; --hits) {
      damaged[random() % damaged.size()] = static_cast<std::byte>(random());
    }
    const auto reader = ImageReader::Open(damaged);
    int budget = 500;
    if (reader.ok()) {
      WalkDamaged(*reader, reader->root(), 5, budget);
    }
  }
}

}  // namespace
}  // namespace starling::erofs
