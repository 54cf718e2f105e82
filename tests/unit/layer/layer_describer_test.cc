#include "layer/layer_describer.h"

#include <gtest/gtest.h>

#include "tests/support/gzip_layer.h"
#include "tests/support/memory_image.h"

namespace starling::layer {
namespace {

using testing_support::MemoryImageSource;

TEST(DescribeLayer, ReadsTheLayerOnce) {
  const auto made = testing_support::MakeGzipLayer(3);
  ASSERT_TRUE(made.ok()) << made.status();
  MemoryImageSource source;
  const oci::Descriptor blob = source.Add(oci::media_type::kOciLayerGzip, AsBytes(made->blob));
  const auto index = DescribeLayer(source, blob, {.spacing_bytes = 64 << 10});
  ASSERT_TRUE(index.ok()) << index.status();
  EXPECT_EQ(index->digest(), made->index.digest());
  EXPECT_EQ(source.blobs_streamed(), 1);
}

TEST(DescribeLayer, TellsWhatWentWrong) {
  MemoryImageSource source;
  const oci::Descriptor no_tar = source.Add(oci::media_type::kOciLayerGzip,
                                            AsBytes(testing_support::Gzip(std::string(2000, 'x'))));
  EXPECT_EQ(DescribeLayer(source, no_tar).status().code(), StatusCode::kDataLoss);
  const auto made = testing_support::MakeGzipLayer(4);
  ASSERT_TRUE(made.ok()) << made.status();
  const oci::Descriptor blob = source.Add(oci::media_type::kOciLayerGzip, AsBytes(made->blob));
  source.Fail(blob.digest, MakeError(StatusCode::kUnavailable, "away"));
  EXPECT_EQ(DescribeLayer(source, blob).status().code(), StatusCode::kUnavailable);
}

}  // namespace
}  // namespace starling::layer
