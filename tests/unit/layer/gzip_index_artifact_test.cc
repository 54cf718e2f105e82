#include "layer/gzip_index_artifact.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "tests/support/gzip_layer.h"

namespace starling::layer {
namespace {

using testing_support::GzipLayer;
using testing_support::MakeGzipLayer;

oci::Descriptor DescriptorOf(const GzipLayer& layer) {
  return {.media_type = std::string(oci::media_type::kOciLayerGzip),
          .digest = layer.index.layer(),
          .size_bytes = layer.blob.size()};
}

Bytes BytesOf(const GzipLayer& layer) {
  return {layer.index.bytes().begin(), layer.index.bytes().end()};
}

TEST(PlainLayersOf, LeavesOutThoseWithATableOfContents) {
  oci::Manifest image;
  image.layers.resize(3);
  for (size_t i = 0; i < 3; ++i) {
    image.layers[i].digest = oci::Digest::Of(AsBytes(std::to_string(i)));
  }
  image.layers[1].annotations = {
      {std::string(oci::annotation::kTocDigest), oci::Digest::Of({}).ToString()}};
  const auto plain = PlainLayersOf(image);
  ASSERT_EQ(plain.size(), 2U);
  EXPECT_EQ(plain[0].digest, image.layers[0].digest);
  EXPECT_EQ(plain[1].digest, image.layers[2].digest);
}

TEST(ReadGzipIndexes, TakesDescriptionsOfTheImagesLayersOnly) {
  const auto one = MakeGzipLayer(1);
  const auto two = MakeGzipLayer(2);
  ASSERT_TRUE(one.ok() && two.ok());
  oci::Descriptor another_size = DescriptorOf(*two);
  ++another_size.size_bytes;
  Bytes damaged = BytesOf(*one);
  damaged.front() ^= std::byte{1};
  const struct {
    std::string_view name;
    std::vector<Bytes> blobs;
    std::vector<oci::Descriptor> layers;
    StatusCode want;
  } cases[] = {
      {"nothing", {}, {DescriptorOf(*one)}, StatusCode::kOk},
      {"all",
       {BytesOf(*two), BytesOf(*one)},
       {DescriptorOf(*one), DescriptorOf(*two)},
       StatusCode::kOk},
      {"some", {BytesOf(*two)}, {DescriptorOf(*one), DescriptorOf(*two)}, StatusCode::kOk},
      {"another image's",
       {BytesOf(*one), BytesOf(*two)},
       {DescriptorOf(*one)},
       StatusCode::kDataLoss},
      {"another size", {BytesOf(*two)}, {another_size}, StatusCode::kDataLoss},
      {"damaged", {damaged}, {DescriptorOf(*one)}, StatusCode::kDataLoss},
  };
  for (const auto& c : cases) {
    SCOPED_TRACE(c.name);
    const auto indexes = ReadGzipIndexes(c.blobs, c.layers);
    ASSERT_EQ(indexes.status().code(), c.want) << indexes.status();
    if (indexes.ok()) {
      ASSERT_EQ(indexes->size(), c.blobs.size());
      for (size_t i = 0; i < c.blobs.size(); ++i) {
        EXPECT_EQ((*indexes)[i].digest(), oci::Digest::Of(c.blobs[i]));
      }
    }
  }
}

TEST(ReadGzipIndexes, SaysWhichOneIsTooLargeAndWhatToDo) {
  const auto one = MakeGzipLayer(1);
  const auto two = MakeGzipLayer(2);
  ASSERT_TRUE(one.ok() && two.ok());
  // What an artifact may have, and an index may not.
  Bytes large = BytesOf(*two);
  large.resize(estargz::GzipLayerIndex::kMaxBytes + 1);
  ASSERT_LT(large.size(), kMaxGzipIndexArtifactBytes);
  std::vector<Bytes> blobs;
  blobs.push_back(BytesOf(*one));
  blobs.push_back(std::move(large));
  const auto indexes =
      ReadGzipIndexes(std::move(blobs), std::vector{DescriptorOf(*one), DescriptorOf(*two)});
  EXPECT_EQ(indexes.status().code(), StatusCode::kResourceExhausted);
  const std::string message(MessageOf(indexes.status()));
  EXPECT_THAT(message, testing::StartsWith("index 2 of 2 that are attached: "));
  EXPECT_THAT(message, testing::HasSubstr(two->index.layer().ToString()));
  EXPECT_THAT(message, testing::HasSubstr("268435457 bytes"));
  EXPECT_THAT(message, testing::HasSubstr("starling convert"));
}

}  // namespace
}  // namespace starling::layer
