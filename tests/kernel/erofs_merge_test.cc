// A merged image as fsck.erofs and the kernel see it, next to the kernel's overlay of its layers.
#include <gtest/gtest.h>
#include <sys/stat.h>

#include <deque>
#include <map>
#include <utility>

#include "base/file_system.h"
#include "base/temp_dir.h"
#include "erofs/merge.h"
#include "tests/support/file_tree.h"
#include "tests/support/private_mounts.h"
#include "tests/support/random_tree.h"

namespace starling::erofs {
namespace {

using testing_support::EnterPrivateMounts;
using testing_support::KernelKnowsFileSystem;
using testing_support::Mount;
using testing_support::NamesIn;
using testing_support::ReadWhole;
using testing_support::Tree;
using testing_support::TreeGenerator;
using testing_support::XattrsOf;

class MergedImageTest : public testing::Test {
 protected:
  std::string PathOf(const std::string& name) const { return (directory_.path() / name).string(); }
  void WriteNew(const std::string& name, ByteSpan bytes) {
    ASSERT_TRUE(WriteFileAtomically(RealFileSystem(), PathOf(name), bytes, 0600).ok());
  }
  /// Writes N.index and N.data for each layer, and "merged" for all.
  void WriteLayers(const std::vector<Tree>& layers) {
    std::deque<Bytes> images;
    std::vector<ImageReader> readers;
    for (size_t number = 0; number < layers.size(); ++number) {
      images.push_back(*layers[number].Image());
      readers.push_back(*ImageReader::Open(images.back()));
      WriteNew(fmt::format("{}.index", number), images.back());
      WriteNew(fmt::format("{}.data", number), layers[number].Data());
    }
    const auto merged = MergeImages(readers);
    ASSERT_TRUE(merged.ok()) << merged.status();
    WriteNew("merged", *merged);
  }
  static std::vector<Tree> RandomChain(uint64_t seed) {
    std::vector<Tree> layers;
    for (uint64_t number = 0; number < 2 + seed % 4; ++number) {
      const auto names = seed % 5 == 0 ? TreeGenerator::Names::kAny : TreeGenerator::Names::kFew;
      layers.push_back(TreeGenerator(seed * 100 + number, names).Make(20 + seed * 7));
    }
    return layers;
  }

  TempDir directory_ = *TempDir::Make(testing::TempDir(), "erofs_merge");
};

TEST_F(MergedImageTest, FsckFindsNothing) {
  if (std::system("command -v fsck.erofs >/dev/null") != 0) {
    GTEST_SKIP() << "fsck.erofs is not installed (package erofs-utils)";
  }
  for (uint64_t seed = 1; seed <= 25; ++seed) {
    SCOPED_TRACE(seed);
    const std::vector<Tree> layers = RandomChain(seed);
    WriteLayers(layers);
    std::string command = "fsck.erofs --extract";
    for (size_t number = 0; number < layers.size(); ++number) {
      command += fmt::format(" --device={}.data", PathOf(std::to_string(number)));
    }
    command += fmt::format(" {} >{} 2>&1", PathOf("merged"), PathOf("log"));
    EXPECT_EQ(std::system(command.c_str()), 0) << ReadWhole(PathOf("log"));
  }
}

/// Compares what two mounts show, entry by entry.
class Comparison {
 public:
  void Compare(const std::filesystem::path& overlay, const std::filesystem::path& merged) {
    SCOPED_TRACE(merged.native());
    struct stat want{};
    struct stat got{};
    ASSERT_EQ(::lstat(overlay.c_str(), &want), 0) << strerror(errno);
    ASSERT_EQ(::lstat(merged.c_str(), &got), 0) << strerror(errno);
    EXPECT_EQ(got.st_mode, want.st_mode);
    EXPECT_EQ(got.st_uid, want.st_uid);
    EXPECT_EQ(got.st_gid, want.st_gid);
    EXPECT_EQ(got.st_mtim.tv_sec, want.st_mtim.tv_sec);
    EXPECT_EQ(got.st_mtim.tv_nsec, want.st_mtim.tv_nsec);
    EXPECT_EQ(got.st_rdev, want.st_rdev);
    EXPECT_EQ(XattrsOf(merged), XattrsOf(overlay));
    if (S_ISDIR(want.st_mode)) {
      CompareBelow(overlay, merged);
      EXPECT_EQ(got.st_nlink, 2 + subdirectories_[merged])
          << "directories in it, \".\" and its name";
      ++subdirectories_[merged.parent_path()];
      return;
    }
    EXPECT_EQ(got.st_size, want.st_size);
    const auto [peer, is_new] =
        peers_.try_emplace({want.st_dev, want.st_ino}, Links{.inode = got.st_ino});
    EXPECT_EQ(peer->second.inode, got.st_ino) << "hard links are one file on both sides";
    // Overlayfs counts the names that it hides, too.
    EXPECT_LE(got.st_nlink, want.st_nlink);
    peer->second.promised = got.st_nlink;
    ++peer->second.seen;
    if (S_ISLNK(want.st_mode)) {
      EXPECT_EQ(std::filesystem::read_symlink(merged), std::filesystem::read_symlink(overlay));
    } else if (S_ISREG(want.st_mode)) {
      EXPECT_TRUE(ReadWhole(merged) == ReadWhole(overlay)) << "content differs";
    }
  }
  void ExpectLinkCounts() const {
    for (const auto& [inode, links] : peers_) {
      EXPECT_EQ(links.promised, links.seen) << "inode " << inode.second;
    }
  }
  size_t files() const { return peers_.size(); }

 private:
  struct Links {
    ino_t inode = 0;
    nlink_t promised = 0;
    nlink_t seen = 0;
  };

  void CompareBelow(const std::filesystem::path& overlay, const std::filesystem::path& merged) {
    std::vector<std::string> want;
    for (const std::string& name : NamesIn(overlay)) {
      struct stat status{};
      // Overlayfs lists a whiteout in a directory of one layer, but does not find it.
      if (::lstat((overlay / name).c_str(), &status) == 0) {
        want.push_back(name);
      } else {
        EXPECT_EQ(errno, ENOENT);
      }
    }
    EXPECT_EQ(NamesIn(merged), want);
    for (const std::string& name : want) {
      Compare(overlay / name, merged / name);
    }
  }

  std::map<std::pair<dev_t, ino_t>, Links> peers_;
  std::map<std::filesystem::path, nlink_t> subdirectories_;
};

class MergedMountTest : public MergedImageTest {
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
  std::filesystem::path MakeDirectory(const std::string& name) {
    EXPECT_TRUE(MakeDirectories(PathOf(name), 0755).ok());
    return PathOf(name);
  }
};

TEST_F(MergedMountTest, ShowsWhatAnOverlayOfTheLayersShows) {
  size_t files = 0;
  for (uint64_t seed = 1; seed <= 40; ++seed) {
    SCOPED_TRACE(seed);
    const std::vector<Tree> layers = RandomChain(seed);
    WriteLayers(layers);
    std::deque<Mount> mounts;
    std::string lower = "lowerdir=";
    std::string devices;
    for (size_t number = layers.size(); number > 0; --number) {
      const std::string name = std::to_string(number - 1);
      auto mount = Mount::Make(PathOf(name + ".index"), MakeDirectory(name), "erofs", MS_RDONLY,
                               "device=" + PathOf(name + ".data"));
      ASSERT_TRUE(mount.ok()) << mount.status();
      mounts.push_back(*std::move(mount));
      lower += PathOf(name) + (number == 1 ? "" : ":");
      devices.insert(0, fmt::format("{}device={}", number == 1 ? "" : ",", PathOf(name + ".data")));
    }
    auto overlay = Mount::Make("overlay", MakeDirectory("overlay"), "overlay", MS_RDONLY, lower);
    ASSERT_TRUE(overlay.ok()) << overlay.status();
    auto merged =
        Mount::Make(PathOf("merged"), MakeDirectory("shown"), "erofs", MS_RDONLY, devices);
    ASSERT_TRUE(merged.ok()) << merged.status();
    Comparison comparison;
    comparison.Compare(PathOf("overlay"), PathOf("shown"));
    comparison.ExpectLinkCounts();
    files += comparison.files();
  }
  EXPECT_GT(files, 2000U);
}

}  // namespace
}  // namespace starling::erofs
