#include "dockerfile/build/known_documents.h"

#include <gtest/gtest.h>

#include <fstream>

#include "base/temp_dir.h"
#include "oci/image_config.h"
#include "tests/support/memory_image.h"

namespace starling::dockerfile::build {
namespace {

using testing_support::MemoryImageSource;

class KnownDocumentsTest : public ::testing::Test {
 protected:
  /// What a source says of `descriptor`, read through the documents that are known.
  StatusOr<std::string> Blob(const oci::Descriptor& descriptor) {
    BytesSink sink;
    RETURN_IF_ERROR(
        KeepDocuments(source_, directory_.path() / "documents")->ReadBlob(descriptor, sink));
    return std::string(AsText(sink.bytes()));
  }
  StatusOr<std::string> Manifest(const oci::Descriptor& descriptor) {
    ASSIGN_OR_RETURN(
        const oci::RawManifest manifest,
        KeepDocuments(source_, directory_.path() / "documents")->ReadManifest(descriptor));
    return fmt::format("{} {}", manifest.media_type, AsText(manifest.bytes));
  }

  TempDir directory_ = *TempDir::Make("/tmp", "documents-");
  std::shared_ptr<MemoryImageSource> source_ = std::make_shared<MemoryImageSource>();
};

TEST_F(KnownDocumentsTest, AreAskedForOnce) {
  const oci::Descriptor config = source_->Add(oci::media_type::kOciConfig, AsBytes("{}"));
  const oci::Descriptor manifest = source_->Add(oci::media_type::kOciManifest, AsBytes("[]"));
  for (int i = 0; i < 3; ++i) {
    EXPECT_EQ(*Blob(config), "{}");
    EXPECT_EQ(*Manifest(manifest), manifest.media_type + " []");
  }
  EXPECT_EQ(source_->blobs_streamed(), 1);
  EXPECT_EQ(source_->manifests_read(), 1);
}

TEST_F(KnownDocumentsTest, WhatIsNoneIsAskedForEachTime) {
  const oci::Descriptor layer = source_->Add(oci::media_type::kOciLayerGzip, AsBytes("layer"));
  oci::Descriptor unknown = source_->Add(oci::media_type::kOciManifest, AsBytes("[]"));
  source_->SetTop(unknown);
  unknown.size_bytes = 0;
  const auto known = KeepDocuments(source_, directory_.path() / "documents");
  for (int i = 1; i <= 2; ++i) {
    EXPECT_EQ(*Blob(layer), "layer");
    EXPECT_EQ(source_->blobs_streamed(), i);
    EXPECT_TRUE(Manifest(unknown).ok());
    EXPECT_TRUE(known->ReadTopManifest().ok());
    EXPECT_EQ(source_->manifests_read(), 2 * i);
  }
  EXPECT_FALSE(std::filesystem::exists(directory_.path() / "documents"));
}

TEST_F(KnownDocumentsTest, WhatWasDamagedIsAskedForAgain) {
  const oci::Descriptor config = source_->Add(oci::media_type::kDockerConfig, AsBytes("{}"));
  EXPECT_TRUE(Blob(config).ok());
  const std::filesystem::path file = directory_.path() / "documents" / config.digest.Hex();
  for (const char* damaged : {"[]", "", "{} and more"}) {
    std::ofstream(file) << damaged;
    EXPECT_EQ(*Blob(config), "{}") << damaged;
  }
  EXPECT_EQ(source_->blobs_streamed(), 4);
}

TEST_F(KnownDocumentsTest, AnErrorIsTheSources) {
  const oci::Descriptor config = source_->Add(oci::media_type::kOciConfig, AsBytes("{}"));
  source_->Fail(config.digest, MakeError(StatusCode::kUnavailable, "away"));
  EXPECT_EQ(Blob(config).status().code(), StatusCode::kUnavailable);
}

}  // namespace
}  // namespace starling::dockerfile::build
