// Images as the kernel shows them, without containerd.
#include "mount/image_mount.h"

#include <fcntl.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <unistd.h>

#include <sstream>

#include "base/temp_dir.h"
#include "layer/gzip_index_store.h"
#include "tests/support/file_tree.h"
#include "tests/support/gzip_layer.h"
#include "tests/support/lazy_image.h"
#include "tests/support/memory_image.h"
#include "tests/support/private_mounts.h"
#include "tests/support/tar_builder.h"

namespace starling::mount {
namespace {

using testing::AllOf;
using testing::ElementsAre;
using testing::HasSubstr;
using testing_support::LazyLayerBlob;
using testing_support::MakeLazyLayer;
using testing_support::MemoryImageSource;
using testing_support::NamesIn;
using testing_support::ReadWhole;
using testing_support::TarBuilder;

std::string LowerTar() {
  return TarBuilder()
      .Add({.name = "kept", .content = "below"})
      .Add({.name = "removed", .content = "below"})
      .Add({.name = "d/", .type = '5'})
      .Add({.name = "d/hidden", .content = "below"})
      .Finish();
}

std::string UpperTar() {
  return TarBuilder()
      .Add({.name = "kept", .content = "above"})
      .Add({.name = ".wh.removed"})
      .Add({.name = "d/", .type = '5'})
      .Add({.name = "d/.wh..wh..opq"})
      .Add({.name = "d/new", .content = "above"})
      .Finish();
}

class ImageMountTest : public testing_support::PrivateMountsFixture {
 protected:
  void SetUp() override { std::filesystem::create_directories(MountPoint()); }
  void TearDown() override { EXPECT_EQ(Mounts(), 0) << "something is still mounted"; }

  std::filesystem::path MountPoint() const { return directory_.path() / "image"; }
  /// What is mounted below the test's directory.
  int Mounts() const {
    std::istringstream table(ReadWhole("/proc/self/mounts"));
    int count = 0;
    for (std::string line; std::getline(table, line);) {
      count += line.find(directory_.path().native()) != std::string::npos ? 1 : 0;
    }
    return count;
  }

  oci::Descriptor AddLayer(const std::string& tar) {
    const LazyLayerBlob layer = *MakeLazyLayer(tar, 4 << 20);
    oci::Descriptor descriptor = source_->Add(oci::media_type::kOciLayerGzip, layer.blob);
    descriptor.annotations = {{std::string(oci::annotation::kTocDigest), layer.toc.ToString()}};
    return descriptor;
  }
  StatusOr<std::unique_ptr<ImageMount>> Start(const std::vector<oci::Descriptor>& layers,
                                              const std::filesystem::path& root,
                                              DataPlane plane = DataPlane::kAuto) {
    oci::Manifest manifest;
    manifest.media_type = oci::media_type::kOciManifest;
    manifest.config = source_->Add(oci::media_type::kOciConfig, AsBytes("{}"));
    manifest.layers = layers;
    source_->SetTop(source_->Add(manifest));
    return ImageMount::Start({.root = root,
                              .directory = MountPoint(),
                              .platform = {.os = "linux", .architecture = "amd64"},
                              .data_plane = plane},
                             source_, RealFileSystem());
  }
  StatusOr<std::unique_ptr<ImageMount>> Start(const std::vector<oci::Descriptor>& layers) {
    return Start(layers, directory_.path() / "root");
  }

  TempDir directory_ = *TempDir::Make("/tmp", "image-mount-");
  std::shared_ptr<MemoryImageSource> source_ = std::make_shared<MemoryImageSource>();
};

TEST_F(ImageMountTest, StacksTheLayers) {
  const auto mount = Start({AddLayer(LowerTar()), AddLayer(UpperTar())});
  ASSERT_TRUE(mount.ok()) << mount.status();
  EXPECT_THAT(NamesIn(MountPoint()), ElementsAre("d", "kept"));
  EXPECT_THAT(NamesIn(MountPoint() / "d"), ElementsAre("new"));
  EXPECT_EQ(ReadWhole(MountPoint() / "kept"), "above");
  EXPECT_EQ(ReadWhole(MountPoint() / "d/new"), "above");
  EXPECT_EQ(source_->blobs_streamed(), 0) << "no layer is downloaded";
  EXPECT_EQ(source_->blobs_opened(), 2);
}

TEST_F(ImageMountTest, ShowsASingleLayer) {
  const auto mount = Start({AddLayer(LowerTar())});
  ASSERT_TRUE(mount.ok()) << mount.status();
  EXPECT_THAT(NamesIn(MountPoint()), ElementsAre("d", "kept", "removed"));
  EXPECT_EQ(ReadWhole(MountPoint() / "d/hidden"), "below");
}

TEST_F(ImageMountTest, FetchesPlainLayersAsAWhole) {
  const oci::Descriptor plain = source_->Add(oci::media_type::kOciLayerTar, AsBytes(LowerTar()));
  for (int run = 0; run < 2; ++run) {
    const auto mount = Start({plain, AddLayer(UpperTar())});
    ASSERT_TRUE(mount.ok()) << mount.status();
    EXPECT_THAT(NamesIn(MountPoint()), ElementsAre("d", "kept"));
    EXPECT_EQ(ReadWhole(MountPoint() / "kept"), "above");
  }
  EXPECT_EQ(source_->blobs_opened(), 2) << "the second mount opens what is stored";
  EXPECT_EQ(source_->blobs_streamed(), 0);
}

TEST_F(ImageMountTest, ManyLayersAreOneMount) {
  if (!testing_support::KernelKnowsFileSystem("erofs")) {
    GTEST_SKIP() << "this kernel has no erofs";
  }
  std::vector<oci::Descriptor> layers(39, AddLayer(LowerTar()));
  layers.push_back(AddLayer(UpperTar()));
  // As an overlay they would need more mount options than the kernel takes.
  auto mount = Start(layers, directory_.path() / std::string(100, 'r'));
  ASSERT_TRUE(mount.ok()) << mount.status();
  EXPECT_THAT(NamesIn(MountPoint()), ElementsAre("d", "kept"));
  EXPECT_THAT(NamesIn(MountPoint() / "d"), ElementsAre("new"));
  EXPECT_EQ(ReadWhole(MountPoint() / "kept"), "above");
}

TEST_F(ImageMountTest, MountsAgainFromWhatItHolds) {
  const std::vector<oci::Descriptor> layers = {AddLayer(LowerTar()), AddLayer(UpperTar())};
  for (int run = 0; run < 2; ++run) {
    const auto mount = Start(layers);
    ASSERT_TRUE(mount.ok()) << mount.status();
    EXPECT_EQ(ReadWhole(MountPoint() / "d/new"), "above");
  }
  EXPECT_EQ(source_->blobs_opened(), 2) << "the second mount opens what is stored";
}

TEST_F(ImageMountTest, ReadsAPlainGzipLayerInPartsByItsKeptIndex) {
  const auto made = testing_support::MakeGzipLayer(1);
  ASSERT_TRUE(made.ok()) << made.status();
  const oci::Descriptor plain = source_->Add(oci::media_type::kOciLayerGzip, AsBytes(made->blob));
  const oci::Descriptor lazy = AddLayer(LowerTar());
  const std::filesystem::path root = directory_.path() / "root";
  layer::GzipIndexStore indexes(root / layer::GzipIndexStore::kDirectoryName, RealFileSystem());
  ASSERT_TRUE(indexes.Add(made->index).ok());
  const auto mount = Start({lazy, plain});
  ASSERT_TRUE(mount.ok()) << mount.status();
  EXPECT_EQ(source_->blobs_opened(), 1) << "the plain layer is opened without its blob";
  const uint64_t before = source_->blob_bytes_read();
  const std::string large = testing_support::CompressibleText(2 << 20, 1);
  const UniqueFd file(::open((MountPoint() / "dir/large").c_str(), O_RDONLY | O_CLOEXEC));
  ASSERT_TRUE(file.valid());
  std::string part(1000, '\0');
  ASSERT_EQ(::pread(file.get(), part.data(), part.size(), 1'000'000), 1000);
  EXPECT_EQ(part, large.substr(1'000'000, 1000));
  EXPECT_GT(source_->blob_bytes_read(), before);
  EXPECT_EQ(source_->blobs_streamed(), 0);
  EXPECT_TRUE(ReadWhole(MountPoint() / "dir/large") == large);
  EXPECT_TRUE(ReadWhole(MountPoint() / "dir/noise") == testing_support::Noise(300'000, 1));
  EXPECT_EQ(ReadWhole(MountPoint() / "small/7"), testing_support::CompressibleText(99 * 7, 8));
  EXPECT_EQ(ReadWhole(MountPoint() / "d/hidden"), "below");
  EXPECT_LE(source_->blob_bytes_read() - before, made->blob.size() + lazy.size_bytes)
      << "no byte twice";
}

TEST_F(ImageMountTest, GoesAlthoughSomebodyIsInside) {
  auto mount = Start({AddLayer(LowerTar()), AddLayer(UpperTar())});
  ASSERT_TRUE(mount.ok()) << mount.status();
  const UniqueFd inside(::open((MountPoint() / "d").c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC));
  ASSERT_TRUE(inside.valid());
  mount->reset();
  EXPECT_THAT(NamesIn(MountPoint()), ElementsAre());
}

TEST_F(ImageMountTest, SaysWhichLayerCannotBeShownAndWhy) {
  const oci::Descriptor lazy = AddLayer(LowerTar());
  oci::Descriptor unusable = AddLayer(UpperTar());
  oci::Descriptor other_toc = unusable;
  unusable.annotations[std::string(oci::annotation::kTocDigest)] = "sha256:short";
  other_toc.annotations[std::string(oci::annotation::kTocDigest)] =
      oci::Digest::Of(AsBytes("another")).ToString();
  oci::Descriptor absent = lazy;
  absent.digest = oci::Digest::Of(AsBytes("absent"));
  const struct {
    const char* name;
    oci::Descriptor layer;
    StatusCode want;
    const char* reason;
  } cases[] = {
      {"no digest of the TOC", unusable, StatusCode::kInvalidArgument, "toc.digest"},
      {"no tar", source_->Add(oci::media_type::kOciLayerTar, AsBytes(std::string(600, 'x'))),
       StatusCode::kDataLoss, "tar"},
      {"another TOC promised", other_toc, StatusCode::kDataLoss, "TOC"},
      {"no such blob", absent, StatusCode::kNotFound, "no content"},
  };
  for (const auto& c : cases) {
    SCOPED_TRACE(c.name);
    const auto mount = Start({lazy, c.layer}, directory_.path() / c.name);
    EXPECT_EQ(mount.status().code(), c.want);
    EXPECT_THAT(Describe(mount.status()),
                AllOf(HasSubstr(c.layer.digest.ToString()), HasSubstr(c.reason)));
    EXPECT_EQ(Mounts(), 0);
  }
}

TEST_F(ImageMountTest, OpensNothingOfAnImageThatCannotBeShown) {
  const oci::Descriptor lazy = AddLayer(LowerTar());
  oci::Descriptor unusable = AddLayer(UpperTar());
  unusable.annotations[std::string(oci::annotation::kTocDigest)] = "sha256:short";
  EXPECT_FALSE(Start({lazy, unusable}).ok());
  EXPECT_EQ(source_->blobs_opened(), 0);
}

TEST_F(ImageMountTest, RefusesWhatCannotBeMounted) {
  const oci::Descriptor layer = AddLayer(LowerTar());
  const struct {
    const char* name;
    std::vector<oci::Descriptor> layers;
    std::string root;
    StatusCode want;
  } cases[] = {
      {"no layers", {}, "root", StatusCode::kFailedPrecondition},
      {"more than mount options hold", std::vector<oci::Descriptor>(40, layer),
       std::string(100, 'r'), StatusCode::kResourceExhausted},
  };
  for (const auto& c : cases) {
    SCOPED_TRACE(c.name);
    const auto mount = Start(c.layers, directory_.path() / c.root, DataPlane::kTree);
    EXPECT_EQ(mount.status().code(), c.want) << mount.status();
    EXPECT_EQ(Mounts(), 0);
  }
  std::filesystem::remove(MountPoint());
  EXPECT_EQ(Start({layer}).status().code(), StatusCode::kNotFound);
  EXPECT_EQ(Mounts(), 0);
}

}  // namespace
}  // namespace starling::mount
