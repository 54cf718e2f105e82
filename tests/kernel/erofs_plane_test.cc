// EROFS mounts of files, and how one takes another's place.
#include "mount/erofs_plane.h"

#include <fcntl.h>
#include <gtest/gtest.h>
#include <sys/mount.h>

#include <set>

#include "base/file_system.h"
#include "base/temp_dir.h"
#include "erofs/image_writer.h"
#include "fuse/mount_table.h"
#include "fuse/operations.h"
#include "mount/erofs_probe.h"
#include "tests/support/file_tree.h"
#include "tests/support/private_mounts.h"

namespace starling::mount {
namespace {

using testing_support::ReadWhole;

class ErofsPlaneTest : public testing_support::PrivateMountsFixture {
 protected:
  void SetUp() override {
    if (!testing_support::KernelKnowsFileSystem("erofs")) {
      GTEST_SKIP() << "this kernel has no erofs";
    }
    Start();
  }
  void TearDown() override {
    plane_.reset();
    EXPECT_EQ(MountsHere(), 0U) << "something is still mounted";
  }
  void Start() {
    plane_.reset();
    auto plane = ErofsPlane::Start(Path("e"));
    ASSERT_TRUE(plane.ok()) << plane.status();
    plane_ = *std::move(plane);
  }
  std::filesystem::path Path(const std::string& name) const { return directory_.path() / name; }
  size_t MountsHere() const {
    const auto mounts = fuse::MountsBelow(directory_.path());
    EXPECT_TRUE(mounts.ok()) << mounts.status();
    return mounts.ok() ? mounts->size() : 0;
  }
  /// An image of one file "f" with one block of `letter`.
  ErofsImage MakeImage(const std::string& name, char letter) {
    const erofs::ChildSpec child{.name = "f", .inode = 1};
    const erofs::InodeSpec inodes[] = {
        {.mode = S_IFDIR | 0755, .nlink = 2, .children = std::span(&child, 1)},
        {.mode = S_IFREG | 0644, .size_bytes = erofs::kBlockBytes, .data_address = 0}};
    const auto index = erofs::WriteImage(inodes, erofs::kBlockBytes);
    EXPECT_TRUE(index.ok()) << index.status();
    const std::string data(erofs::kBlockBytes, letter);
    const ErofsImage image{.index = Path(name + ".index"), .data = {Path(name + ".data")}};
    EXPECT_TRUE(WriteFileAtomically(RealFileSystem(), image.index, *index, 0600).ok());
    EXPECT_TRUE(
        WriteFileAtomically(RealFileSystem(), image.data.front(), AsBytes(data), 0600).ok());
    return image;
  }

  TempDir directory_ = *TempDir::Make("/tmp", "erofs-plane-");
  std::unique_ptr<ErofsPlane> plane_;
};

TEST_F(ErofsPlaneTest, OneMountTakesTheOthersPlace) {
  const ErofsImage first = MakeImage("first", 'a');
  const ErofsImage second = MakeImage("second", 'b');
  const auto path = plane_->Show(5, first, ErofsPlane::Data::kOverFuse);
  ASSERT_TRUE(path.ok()) << path.status();
  EXPECT_EQ(*path, Path("e/5"));
  EXPECT_EQ(plane_->Show(5, first, ErofsPlane::Data::kOverFuse).status().code(),
            StatusCode::kAlreadyExists);
  const UniqueFd open_before(::open((*path / "f").c_str(), O_RDONLY | O_CLOEXEC));
  const Status used = plane_->UseStored(5, second);
  ASSERT_TRUE(used.ok()) << used;
  EXPECT_EQ(ReadWhole(*path / "f"), std::string(4096, 'b'));
  char letter = 0;
  EXPECT_EQ(::pread(open_before.get(), &letter, 1, 0), 1);
  EXPECT_EQ(letter, 'a');
  EXPECT_TRUE(plane_->UseStored(5, first).ok());
  EXPECT_EQ(ReadWhole(*path / "f"), std::string(4096, 'b')) << "once is enough";
  EXPECT_TRUE(plane_->UseStored(6, first).ok()) << "not shown here";
  EXPECT_EQ(MountsHere(), 1U) << "the old one is out of view";
  plane_->Hide(5);
  plane_->Hide(5);
  EXPECT_FALSE(std::filesystem::exists(*path));
}

TEST_F(ErofsPlaneTest, PathsMayBeLongerThanTheKernelTakes) {
  const std::string directory = std::string(150, 'a') + "/" + std::string(150, 'b');
  std::filesystem::create_directories(Path(directory));
  const auto path =
      plane_->Show(5, MakeImage(directory + "/first", 'a'), ErofsPlane::Data::kOverFuse);
  ASSERT_TRUE(path.ok()) << path.status();
  EXPECT_EQ(ReadWhole(*path / "f"), std::string(4096, 'a'));
  const Status used = plane_->UseStored(5, MakeImage(directory + "/second", 'b'));
  EXPECT_TRUE(used.ok()) << used;
  EXPECT_EQ(ReadWhole(*path / "f"), std::string(4096, 'b'));
  plane_->Hide(5);
  EXPECT_EQ(MountsHere(), 0U);
}

TEST_F(ErofsPlaneTest, MountsThatArePropagatedTakeTheirPlacesToo) {
  testing_support::Shell(fmt::format("mount --bind {} {} && mount --make-shared {}",
                                     directory_.path().native(), directory_.path().native(),
                                     directory_.path().native()));
  const auto path = plane_->Show(5, MakeImage("first", 'a'), ErofsPlane::Data::kOverFuse);
  ASSERT_TRUE(path.ok()) << path.status();
  const Status used = plane_->UseStored(5, MakeImage("second", 'b'));
  EXPECT_TRUE(used.ok()) << used;
  EXPECT_EQ(ReadWhole(*path / "f"), std::string(4096, 'b'));
  plane_->Hide(5);
  EXPECT_EQ(MountsHere(), 0U);
  testing_support::Shell("umount " + directory_.path().native());
}

TEST_F(ErofsPlaneTest, SetsHowFarTheKernelReadsAhead) {
  const auto settings = [] {
    std::multiset<std::string> values;
    for (const auto& entry : std::filesystem::directory_iterator("/sys/class/bdi")) {
      if (entry.path().filename().native().starts_with("erofs-")) {
        values.insert(ReadWhole(entry.path() / "read_ahead_kb"));
      }
    }
    return values;
  };
  const ErofsImage image = MakeImage("image", 'a');
  const size_t before = settings().count("896\n");
  bool is_set = false;
  // When another process mounts EROFS in the same moment, nobody knows which device is whose.
  for (int tries = 0; tries < 20 && !is_set; ++tries) {
    const auto mount = MakeErofsMount(image, {.read_ahead_kib = 896});
    ASSERT_TRUE(mount.ok()) << mount.status();
    is_set = settings().count("896\n") == before + 1;
  }
  EXPECT_TRUE(is_set);
}

TEST_F(ErofsPlaneTest, WhatIsBusyIsHiddenAndGoesOn) {
  const auto path = plane_->Show(1, MakeImage("first", 'a'), ErofsPlane::Data::kStored);
  ASSERT_TRUE(path.ok()) << path.status();
  const UniqueFd directory(::open(path->c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC));
  plane_->Hide(1);
  EXPECT_FALSE(std::filesystem::exists(*path));
  const UniqueFd file(::openat(directory.get(), "f", O_RDONLY | O_CLOEXEC));
  EXPECT_TRUE(file.valid()) << strerror(errno);
}

TEST_F(ErofsPlaneTest, SaysWhyAnImageIsRefused) {
  const ErofsImage image = MakeImage("image", 'a');
  const ErofsImage no_data{.index = image.index, .data = {Path("none")}};
  EXPECT_EQ(plane_->Show(1, no_data, ErofsPlane::Data::kStored).status().code(),
            StatusCode::kNotFound);
  const ErofsImage no_image{.index = image.data.front(), .data = image.data};
  EXPECT_FALSE(plane_->Show(1, no_image, ErofsPlane::Data::kStored).ok());
  const ErofsImage long_name{.index = Path(std::string(250, 'x')), .data = image.data};
  EXPECT_EQ(plane_->Show(1, long_name, ErofsPlane::Data::kStored).status().code(),
            StatusCode::kNotFound);
  EXPECT_FALSE(std::filesystem::exists(Path("e/1")));
  EXPECT_TRUE(plane_->Show(1, image, ErofsPlane::Data::kStored).ok());
}

TEST_F(ErofsPlaneTest, StartsInAnEmptyDirectory) {
  const ErofsImage image = MakeImage("image", 'a');
  ASSERT_TRUE(plane_->Show(1, image, ErofsPlane::Data::kStored).ok());
  // As after a kill: mounts, one on top of another, and what a probe was doing.
  const auto mount = MakeErofsMount(image, {});
  ASSERT_TRUE(mount.ok()) << mount.status();
  ASSERT_TRUE(AttachMount(mount->get(), Path("e/1")).ok());
  std::filesystem::create_directories(Path("e/probe-x/mount"));
  const auto again = ErofsPlane::Start(Path("e"));
  ASSERT_TRUE(again.ok()) << again.status();
  EXPECT_EQ(MountsHere(), 0U);
  EXPECT_TRUE(std::filesystem::is_empty(Path("e")));
}

TEST_F(ErofsPlaneTest, TheProbeLeavesNothing) {
  const std::string content(AsText(fuse::ProbeContent()));
  const auto data = Path("probe");
  ASSERT_TRUE(WriteFileAtomically(RealFileSystem(), data, AsBytes(content), 0600).ok());
  const ErofsSupport support = ProbeErofs(Path("e"), data, RealFileSystem());
  EXPECT_TRUE(support.over_fuse.ok()) << support.over_fuse;
  EXPECT_TRUE(support.replacing.ok()) << support.replacing;
  EXPECT_EQ(MountsHere(), 0U);
  EXPECT_TRUE(std::filesystem::is_empty(Path("e")));
}

TEST_F(ErofsPlaneTest, TheProbeReadsWhatItMounts) {
  const std::string other(erofs::kBlockBytes, 'x');
  const auto data = Path("probe");
  ASSERT_TRUE(WriteFileAtomically(RealFileSystem(), data, AsBytes(other), 0600).ok());
  EXPECT_EQ(ProbeErofs(Path("e"), data, RealFileSystem()).over_fuse.code(), StatusCode::kInternal);
  EXPECT_FALSE(ProbeErofs(Path("e"), Path("none"), RealFileSystem()).over_fuse.ok());
  EXPECT_FALSE(ProbeErofs(Path("none"), data, RealFileSystem()).over_fuse.ok());
  EXPECT_EQ(MountsHere(), 0U);
  EXPECT_TRUE(std::filesystem::is_empty(Path("e")));
}

}  // namespace
}  // namespace starling::mount
