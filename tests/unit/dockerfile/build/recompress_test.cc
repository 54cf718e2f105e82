#include "dockerfile/build/recompress.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "base/temp_dir.h"
#include "estargz/decompress.h"
#include "oci/image_config.h"
#include "tests/support/fake_containerd.h"
#include "tests/support/gzip.h"
#include "tests/support/memory_image.h"
#include "tests/support/tar_builder.h"
#include "tests/support/zstd_blob.h"

namespace starling::dockerfile::build {
namespace {

using ::testing::HasSubstr;
using testing_support::FakeContainerd;
using testing_support::Gzip;
using testing_support::MemoryImageSource;

/// A place that counts what is read of it.
class CountingSource : public MemoryImageSource {
 public:
  Status ReadBlob(const oci::Descriptor& blob, ByteSink& sink) override {
    ++reads;
    return MemoryImageSource::ReadBlob(blob, sink);
  }
  int reads = 0;
};

class RecompressTest : public ::testing::Test {
 protected:
  void SetUp() override {
    tar_ = testing_support::TarBuilder()
               .Add({.name = "motd", .content = std::string(100'000, 'm')})
               .Finish();
    tree_.layers.push_back(
        {.blob = source_.Add(oci::media_type::kDockerLayerGzip, AsBytes(Gzip(tar_))),
         .diff_id = oci::Digest::Of(AsBytes(tar_)),
         .origin = "r.test/base:1",
         .created = {}});
    tree_.snapshot = oci::ChainIds({tree_.layers[0].diff_id}).back().ToString();
  }
  StatusOr<Tree> Recompressed(Compression compression) {
    NoProgress progress;
    return Recompress(client_, source_, tree_, {.compression = compression, .level = {}}, {},
                      progress);
  }
  /// The tar in what containerd has.
  std::string TarOf(const oci::Descriptor& blob) {
    const auto bytes = client_.ReadContent(blob);
    if (!bytes.ok()) {
      return Describe(bytes.status());
    }
    SpanSource stored(*bytes);
    estargz::DecompressedTar tar(stored);
    const auto read = ReadAll(tar, 1 << 20);
    return read.ok() ? std::string(AsText(*read)) : Describe(read.status());
  }

  TempDir directory_ = *TempDir::Make("/tmp", "recompress-");
  std::string socket_ = (directory_.path() / "c.sock").string();
  FakeContainerd containerd_{socket_};
  containerd::Client client_{{.address = socket_, .namespace_name = "ns"}};
  CountingSource source_;
  std::string tar_;
  Tree tree_;
};

TEST_F(RecompressTest, ATarStaysTheSameInPlainFormats) {
  for (const auto& [compression, type] :
       {std::pair(Compression::kZstd, oci::media_type::kOciLayerZstd),
        std::pair(Compression::kUncompressed, oci::media_type::kOciLayerTar)}) {
    const auto tree = Recompressed(compression);
    ASSERT_TRUE(tree.ok()) << tree.status();
    EXPECT_EQ(tree->layers[0].blob.media_type, type);
    EXPECT_EQ(tree->layers[0].diff_id, tree_.layers[0].diff_id);
    EXPECT_EQ(tree->layers[0].origin, "") << "no registry has it yet";
    EXPECT_EQ(tree->snapshot, tree_.snapshot);
    EXPECT_EQ(TarOf(tree->layers[0].blob), tar_);
  }
}

TEST_F(RecompressTest, ALazyFormatPutsItsIndexIntoTheTar) {
  const auto tree = Recompressed(Compression::kEstargz);
  ASSERT_TRUE(tree.ok()) << tree.status();
  const oci::Descriptor& blob = tree->layers[0].blob;
  const std::string tar = TarOf(blob);
  EXPECT_EQ(tree->layers[0].diff_id, oci::Digest::Of(AsBytes(tar)));
  EXPECT_THAT(tar, HasSubstr("stargz.index.json"));
  EXPECT_EQ(tree->snapshot, oci::ChainIds({tree->layers[0].diff_id}).back().ToString());
  EXPECT_NE(tree->snapshot, tree_.snapshot);
  // What it is now needs nothing more.
  const auto bytes = client_.ReadContent(blob);
  ASSERT_TRUE(bytes.ok());
  source_.Add(blob.media_type, *bytes);
  EXPECT_TRUE(*HasCompression(source_, blob, Compression::kEstargz));
  EXPECT_FALSE(*HasCompression(source_, blob, Compression::kZstdChunked));
}

TEST_F(RecompressTest, WhatHasTheFormatIsNotRead) {
  const auto tree = Recompressed(Compression::kGzip);
  ASSERT_TRUE(tree.ok()) << tree.status();
  EXPECT_EQ(*tree, tree_);
  EXPECT_EQ(source_.reads, 0);
}

TEST_F(RecompressTest, NothingIsDoneTwice) {
  for (const Compression compression : {Compression::kZstd, Compression::kEstargz}) {
    source_.reads = 0;
    const auto first = Recompressed(compression);
    const auto second = Recompressed(compression);
    ASSERT_TRUE(first.ok() && second.ok());
    EXPECT_EQ(*second, *first);
    EXPECT_EQ(source_.reads, 1);
  }
}

TEST_F(RecompressTest, RefusesWhatIsNotWhatItsImageSays) {
  tree_.layers[0].diff_id = oci::Digest::Of(AsBytes("another"));
  const auto tree = Recompressed(Compression::kZstd);
  EXPECT_EQ(tree.status().code(), StatusCode::kDataLoss);
  EXPECT_THAT(std::string(MessageOf(tree.status())),
              HasSubstr(tree_.layers[0].blob.digest.ToString()));
  EXPECT_TRUE(containerd_.state().blobs.empty());
}

TEST_F(RecompressTest, RefusesWhatIsNoTar) {
  tree_.layers[0].blob.media_type = "application/vnd.in-toto+json";
  EXPECT_EQ(Recompressed(Compression::kZstd).status().code(), StatusCode::kUnimplemented);
}

TEST_F(RecompressTest, AStopEndsIt) {
  std::stop_source stop;
  stop.request_stop();
  NoProgress progress;
  EXPECT_EQ(Recompress(client_, source_, tree_, {.compression = Compression::kZstd, .level = {}},
                       stop.get_token(), progress)
                .status()
                .code(),
            StatusCode::kCancelled);
}

}  // namespace
}  // namespace starling::dockerfile::build
