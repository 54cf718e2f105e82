#include "dockerfile/build/base_images.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "tests/support/memory_image.h"

namespace starling::dockerfile::build {
namespace {

using ::testing::HasSubstr;
using testing_support::MemoryImageSource;

const oci::Platform kPlatform{.os = "linux", .architecture = "amd64"};
constexpr const char* kReference = "docker.io/library/base:1";

class BaseImagesTest : public ::testing::Test {
 protected:
  BaseImagesTest() { MakeImage(2); }

  void MakeImage(size_t layers) {
    source_ = std::make_shared<MemoryImageSource>();
    oci::Manifest manifest;
    manifest.media_type = oci::media_type::kOciManifest;
    std::string diff_ids;
    for (size_t i = 0; i < 2; ++i) {
      diff_ids += fmt::format("{}\"{}\"", i == 0 ? "" : ",",
                              oci::Digest::Of(AsBytes(fmt::format("tar {}", i))).ToString());
    }
    for (size_t i = 0; i < layers; ++i) {
      manifest.layers.push_back(
          source_->Add(oci::media_type::kOciLayerGzip, AsBytes(fmt::format("layer {}", i))));
    }
    manifest.config = source_->Add(
        oci::media_type::kOciConfig,
        AsBytes(fmt::format(R"({{"os":"linux","architecture":"amd64","rootfs":{{"type":"layers",)"
                            R"("diff_ids":[{}]}}}})",
                            diff_ids)));
    manifest_ = manifest;
    source_->SetTop(source_->Add(manifest));
  }

  std::shared_ptr<MemoryImageSource> source_;
  oci::Manifest manifest_;
  int opened_ = 0;
  BaseImages images_{[this](const std::string&) -> StatusOr<std::shared_ptr<oci::ImageSource>> {
    ++opened_;
    return std::shared_ptr<oci::ImageSource>(source_);
  }};
};

TEST_F(BaseImagesTest, LooksAtAnImageOnce) {
  const auto base = images_.ResolveImage(kReference, kPlatform);
  ASSERT_TRUE(base.ok()) << base.status();
  EXPECT_EQ(base->reference, kReference);
  EXPECT_EQ(base->platform, kPlatform);
  EXPECT_THAT(base->config, HasSubstr("diff_ids"));
  ASSERT_TRUE(images_.ResolveImage(kReference, kPlatform).ok());
  const auto image = images_.Find({.reference = kReference, .platform = base->platform});
  ASSERT_TRUE(image.ok());
  EXPECT_EQ((*image)->selected.raw_manifest.digest, base->manifest);
  EXPECT_EQ(opened_, 1);
  EXPECT_EQ(source_->blobs_streamed(), 1);  // the configuration
}

TEST_F(BaseImagesTest, ShowsItsLayersAsATree) {
  ASSERT_TRUE(images_.ResolveImage(kReference, kPlatform).ok());
  const Tree tree = TreeOf(**images_.Find({.reference = kReference, .platform = kPlatform}));
  ASSERT_EQ(tree.layers.size(), 2u);
  EXPECT_EQ(tree.layers[0].blob, manifest_.layers[0]);
  EXPECT_EQ(tree.layers[1].origin, kReference);
  EXPECT_EQ(tree.snapshot,
            oci::ChainIds({tree.layers[0].diff_id, tree.layers[1].diff_id})[1].ToString());
}

TEST_F(BaseImagesTest, TellsWhoHasABlob) {
  ASSERT_TRUE(images_.ResolveImage(kReference, kPlatform).ok());
  EXPECT_NE(images_.FindByBlob(manifest_.layers[1].digest), nullptr);
  EXPECT_EQ(images_.FindByBlob(oci::Digest::Of(AsBytes("none"))), nullptr);
}

TEST_F(BaseImagesTest, AnImageInFilesHasNoRegistry) {
  for (const char* name :
       {"oci:/layouts/base:1", "oci-archive:/base.tar", "docker-archive:/b.tar"}) {
    ASSERT_TRUE(images_.ResolveImage(name, kPlatform).ok());
    EXPECT_FALSE((*images_.Find({.reference = name, .platform = kPlatform}))->reference) << name;
  }
  ASSERT_TRUE(images_.ResolveImage(kReference, kPlatform).ok());
  EXPECT_TRUE((*images_.Find({.reference = kReference, .platform = kPlatform}))->reference);
}

TEST_F(BaseImagesTest, RefusesAnImageWhoseDocumentsContradictEachOther) {
  MakeImage(3);
  const auto refused = images_.ResolveImage(kReference, kPlatform);
  EXPECT_EQ(refused.status().code(), StatusCode::kDataLoss);
  EXPECT_THAT(std::string(MessageOf(refused.status())), HasSubstr(kReference));
}

}  // namespace
}  // namespace starling::dockerfile::build
