// The index as fsck.erofs and the kernel see it.
#include <dirent.h>
#include <fcntl.h>
#include <gtest/gtest.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>
#include <sys/wait.h>
#include <sys/xattr.h>

#include <set>

#include "base/file_system.h"
#include "base/temp_dir.h"
#include "tests/support/private_mounts.h"
#include "tests/support/random_tree.h"
#include "tests/support/read_whole.h"

namespace starling::erofs {
namespace {

using testing_support::EnterPrivateMounts;
using testing_support::KernelKnowsFileSystem;
using testing_support::Mount;
using testing_support::ReadWhole;
using testing_support::Tree;
using testing_support::TreeGenerator;
using testing_support::TreeInode;

std::set<std::string> XattrNames(const std::filesystem::path& path) {
  std::string list(65536, '\0');
  const ssize_t size = ::llistxattr(path.c_str(), list.data(), list.size());
  EXPECT_GE(size, 0) << path << ": " << strerror(errno);
  std::set<std::string> names;
  for (ssize_t at = 0; at < size;) {
    names.insert(list.c_str() + at);
    at += static_cast<ssize_t>(strlen(list.c_str() + at)) + 1;
  }
  return names;
}

std::string XattrValue(const std::filesystem::path& path, const std::string& name) {
  std::string value(70000, '\0');
  const ssize_t size = ::lgetxattr(path.c_str(), name.c_str(), value.data(), value.size());
  EXPECT_GE(size, 0) << path << " " << name << ": " << strerror(errno);
  value.resize(size < 0 ? 0 : static_cast<size_t>(size));
  return value;
}

/// Compares a mounted tree with its model, reading everything.
class Comparison {
 public:
  Comparison(const Tree& tree, const Bytes& data) : tree_(tree), data_(data) {}

  void Compare(const std::filesystem::path& path, uint32_t number) {
    const TreeInode& want = tree_.inodes()[number];
    struct stat got{};
    ASSERT_EQ(::lstat(path.c_str(), &got), 0) << path << ": " << strerror(errno);
    if (const auto [seen, is_new] = numbers_.emplace(number, got.st_ino); !is_new) {
      EXPECT_EQ(seen->second, got.st_ino) << "a hard link is one inode";
      return;
    }
    EXPECT_EQ(got.st_mode, want.mode) << path;
    EXPECT_EQ(got.st_uid, want.uid) << path;
    EXPECT_EQ(got.st_gid, want.gid) << path;
    EXPECT_EQ(got.st_nlink, want.nlink) << path;
    EXPECT_EQ(got.st_mtim.tv_sec, want.modified_seconds) << path;
    EXPECT_EQ(got.st_mtim.tv_nsec, want.modified_nanoseconds) << path;
    EXPECT_EQ(got.st_rdev, ::makedev(want.device_major, want.device_minor)) << path;
    CompareXattrs(path, want);
    if (want.type() == S_IFREG) {
      EXPECT_EQ(static_cast<uint64_t>(got.st_size), want.size_bytes) << path;
      EXPECT_TRUE(ReadWhole(path) ==
                  AsText(ByteSpan(data_).subspan(want.data_address, want.size_bytes)))
          << path << ": other content";
    } else if (want.type() == S_IFLNK) {
      EXPECT_EQ(std::filesystem::read_symlink(path).string(), want.symlink_target);
    } else if (want.type() == S_IFDIR) {
      CompareDirectory(path, want);
    }
  }

  size_t inodes_seen() const { return numbers_.size(); }

 private:
  void CompareXattrs(const std::filesystem::path& path, const TreeInode& want) {
    std::set<std::string> names;
    for (const auto& [name, value] : want.xattrs) {
      names.insert(name);
      EXPECT_EQ(XattrValue(path, name), value) << path << " " << name;
    }
    EXPECT_EQ(XattrNames(path), names) << path;
  }

  void CompareDirectory(const std::filesystem::path& path, const TreeInode& want) {
    std::set<std::string> names;
    for (const auto& entry : std::filesystem::directory_iterator(path)) {
      EXPECT_TRUE(names.insert(entry.path().filename().string()).second);
    }
    std::set<std::string> want_names;
    for (const auto& [name, child] : want.children) {
      want_names.insert(name);
      Compare(path / name, child);
    }
    EXPECT_EQ(names, want_names) << path;
    EXPECT_NE(::access((path / "not there").c_str(), F_OK), 0);
  }

  const Tree& tree_;
  const Bytes& data_;
  std::map<uint32_t, ino_t> numbers_;
};

class ErofsImageTest : public testing::Test {
 protected:
  std::filesystem::path MakeDirectory(const std::string& name) {
    const auto path = directory_.path() / name;
    EXPECT_TRUE(MakeDirectories(path, 0755).ok());
    return path;
  }

  /// Writes NAME.meta and NAME.data.
  void WriteFiles(const Tree& tree, const Bytes& data, const std::string& name) {
    const auto image = tree.Image();
    ASSERT_TRUE(image.ok()) << Describe(image.status());
    FileSystem& files = RealFileSystem();
    ASSERT_TRUE(WriteFileAtomically(files, PathOf(name + ".meta"), *image, 0600).ok());
    ASSERT_TRUE(WriteFileAtomically(files, PathOf(name + ".data"), data, 0600).ok());
  }
  std::string PathOf(const std::string& name) const { return (directory_.path() / name).string(); }

  TempDir directory_ = *TempDir::Make(testing::TempDir(), "erofs_image");
};

class FsckTest : public ErofsImageTest {
 protected:
  void SetUp() override {
    if (std::system("command -v fsck.erofs >/dev/null") != 0) {
      GTEST_SKIP() << "fsck.erofs is not installed (package erofs-utils)";
    }
  }
  /// The exit status of fsck.erofs; what it printed is in PathOf("log").
  int Fsck(const std::string& name) {
    const std::string command =
        fmt::format("fsck.erofs --extract --device={} {} >{} 2>&1", PathOf(name + ".data"),
                    PathOf(name + ".meta"), PathOf("log"));
    return std::system(command.c_str());
  }
};

TEST_F(FsckTest, FindsNothingInRandomTrees) {
  for (uint64_t seed = 1; seed <= 40; ++seed) {
    SCOPED_TRACE(seed);
    const Tree tree = TreeGenerator(seed).Make(1 + seed * 13);
    WriteFiles(tree, tree.Data(), "tree");
    EXPECT_EQ(Fsck("tree"), 0) << ReadWhole(PathOf("log"));
  }
}

TEST_F(FsckTest, FindsNothingInALargeDirectory) {
  Tree tree;
  for (int i = 0; i < 100'000; ++i) {
    tree.Add(0, fmt::format("name-{}", i), {});
  }
  WriteFiles(tree, tree.Data(), "tree");
  EXPECT_EQ(Fsck("tree"), 0) << ReadWhole(PathOf("log"));
}

TEST_F(FsckTest, NoticesDamage) {
  const Tree tree = TreeGenerator(1).Make(50);
  WriteFiles(tree, tree.Data(), "tree");
  ASSERT_EQ(::truncate(PathOf("tree.meta").c_str(), kBlockBytes + 64), 0);
  EXPECT_NE(Fsck("tree"), 0) << "the oracle must be able to fail";
}

class KernelMountTest : public ErofsImageTest {
 protected:
  void SetUp() override {
    if (::geteuid() != 0) {
      GTEST_SKIP() << "mounting needs root";
    }
    if (!KernelKnowsFileSystem("erofs")) {
      GTEST_SKIP() << "this kernel has no erofs";
    }
    ASSERT_TRUE(EnterPrivateMounts().ok());
  }

  StatusOr<Mount> MountImage(const std::string& name, const std::filesystem::path& target) {
    return Mount::Make(PathOf(name + ".meta"), target, "erofs", MS_RDONLY,
                       "device=" + PathOf(name + ".data"));
  }
};

TEST_F(KernelMountTest, ShowsRandomTreesAsTheirModels) {
  for (uint64_t seed = 1; seed <= 25; ++seed) {
    SCOPED_TRACE(seed);
    const Tree tree = TreeGenerator(seed).Make(1 + seed * 31);
    const Bytes data = tree.Data();
    WriteFiles(tree, data, "tree");
    const auto target = MakeDirectory("mnt");
    const auto mount = MountImage("tree", target);
    ASSERT_TRUE(mount.ok()) << Describe(mount.status());
    Comparison comparison(tree, data);
    comparison.Compare(target, 0);
    EXPECT_EQ(comparison.inodes_seen(), tree.inodes().size());
  }
}

TEST_F(KernelMountTest, ShowsALargeDirectory) {
  Tree tree;
  const uint32_t large = tree.Add(0, "large", {.mode = S_IFDIR | 0755});
  for (int i = 0; i < 100'000; ++i) {
    tree.Add(large, fmt::format("name-{}", i), {});
  }
  WriteFiles(tree, {}, "tree");
  const auto target = MakeDirectory("mnt");
  const auto mount = MountImage("tree", target);
  ASSERT_TRUE(mount.ok()) << Describe(mount.status());
  const auto entries = std::filesystem::directory_iterator(target / "large");
  EXPECT_EQ(std::distance(begin(entries), end(entries)), 100'000);
  EXPECT_TRUE(std::filesystem::exists(target / "large/name-99999"));
  EXPECT_FALSE(std::filesystem::exists(target / "large/name-100000"));
}

TEST_F(KernelMountTest, ShowsAccessControlLists) {
  // Version 2, then user::rwx user:1000:r-- group::r-x mask::rwx other::r--.
  static constexpr unsigned char kAcl[] = {
      2, 0,    0,    0,    1,    0,    7,    0, 0xff, 0xff, 0xff, 0xff, 2,    0,    4,
      0, 0xe8, 3,    0,    0,    4,    0,    5, 0,    0xff, 0xff, 0xff, 0xff, 0x10, 0,
      7, 0,    0xff, 0xff, 0xff, 0xff, 0x20, 0, 4,    0,    0xff, 0xff, 0xff, 0xff};
  const std::string acl(reinterpret_cast<const char*>(kAcl), sizeof kAcl);
  Tree tree;
  TreeInode directory = {.mode = S_IFDIR | 0754};
  directory.xattrs = {{"system.posix_acl_access", acl},
                      {"system.posix_acl_default", acl},
                      {"security.capability", "x"}};
  tree.Add(0, "dir", directory);
  WriteFiles(tree, {}, "tree");
  const auto target = MakeDirectory("mnt");
  const auto mount = MountImage("tree", target);
  ASSERT_TRUE(mount.ok()) << Describe(mount.status());
  EXPECT_EQ(XattrValue(target / "dir", "system.posix_acl_access"), acl);
  EXPECT_EQ(XattrValue(target / "dir", "system.posix_acl_default"), acl);
  EXPECT_TRUE(XattrNames(target / "dir").contains("system.posix_acl_access"));
  EXPECT_TRUE(XattrNames(target / "dir").contains("security.capability"));
}

TEST_F(KernelMountTest, ReadsTheFarEndOfALargeDevice) {
  // The device is sparse; only its last block has content.
  constexpr uint64_t kDeviceBytes = uint64_t{8} << 40;
  const uint64_t address = kDeviceBytes - kBlockBytes;
  const ChildSpec child = {.name = "far", .inode = 1};
  const InodeSpec inodes[] = {
      {.mode = S_IFDIR | 0755, .nlink = 2, .children = std::span(&child, 1)},
      {.mode = S_IFREG | 0644, .size_bytes = 5, .data_address = address}};
  const auto image = WriteImage(inodes, kDeviceBytes);
  ASSERT_TRUE(image.ok());
  FileSystem& files = RealFileSystem();
  ASSERT_TRUE(WriteFileAtomically(files, PathOf("tree.meta"), *image, 0600).ok());
  const auto data = files.Open(PathOf("tree.data"), O_RDWR | O_CREAT, 0600);
  ASSERT_TRUE(data.ok());
  if (!files.Resize(data->get(), kDeviceBytes).ok()) {
    GTEST_SKIP() << "this file system has no files of 8 TiB";
  }
  ASSERT_TRUE(files.WriteAt(data->get(), address, AsBytes("hello")).ok());
  const auto target = MakeDirectory("mnt");
  const auto mount = MountImage("tree", target);
  ASSERT_TRUE(mount.ok()) << Describe(mount.status());
  EXPECT_EQ(ReadWhole(target / "far"), "hello");
}

TEST_F(KernelMountTest, WhiteoutsAndOpaqueDirectoriesWorkBelowAnOverlay) {
  Tree lower;
  lower.Add(0, "deleted", {});
  lower.Add(0, "kept", {});
  const uint32_t replaced = lower.Add(0, "replaced", {.mode = S_IFDIR | 0755});
  lower.Add(replaced, "old", {});
  const uint32_t merged = lower.Add(0, "merged", {.mode = S_IFDIR | 0755});
  lower.Add(merged, "old", {});
  Tree upper;
  upper.Add(0, "deleted", {.mode = S_IFCHR});
  TreeInode opaque = {.mode = S_IFDIR | 0755};
  opaque.xattrs = {{"trusted.overlay.opaque", "y"}};
  upper.Add(upper.Add(0, "replaced", opaque), "new", {});
  upper.Add(upper.Add(0, "merged", {.mode = S_IFDIR | 0755}), "new", {});
  WriteFiles(lower, {}, "lower");
  WriteFiles(upper, {}, "upper");
  const auto lower_mount = MountImage("lower", MakeDirectory("lower"));
  const auto upper_mount = MountImage("upper", MakeDirectory("upper"));
  ASSERT_TRUE(lower_mount.ok() && upper_mount.ok());
  const auto target = MakeDirectory("mnt");
  const auto overlay = Mount::Make("overlay", target, "overlay", MS_RDONLY,
                                   fmt::format("lowerdir={}:{}", PathOf("upper"), PathOf("lower")));
  ASSERT_TRUE(overlay.ok()) << Describe(overlay.status());
  std::set<std::string> names;
  for (const auto& entry : std::filesystem::recursive_directory_iterator(target)) {
    names.insert(entry.path().lexically_relative(target).string());
  }
  EXPECT_EQ(names, (std::set<std::string>{"kept", "merged", "merged/new", "merged/old", "replaced",
                                          "replaced/new"}));
}

}  // namespace
}  // namespace starling::erofs
