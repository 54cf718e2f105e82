#include "oci/blob_reader.h"

#include <gtest/gtest.h>

#include "tests/support/memory_image.h"

namespace starling::oci {
namespace {

TEST(BlobReader, ReadAndWaitReturnsBytesOrTheError) {
  testing_support::MemoryImageSource source;
  const Descriptor blob = source.Add(media_type::kOciLayerTar, AsBytes("0123456789"));
  const auto reader = source.BlobAt(blob);
  ASSERT_TRUE(reader.ok());
  EXPECT_EQ((*reader)->SizeBytes(), 10U);
  EXPECT_EQ(AsText(*(*reader)->ReadAndWait({.blob_offset = 3, .size_bytes = 4})), "3456");
  EXPECT_EQ((*reader)->ReadAndWait({.blob_offset = 8, .size_bytes = 3}).status().code(),
            StatusCode::kOutOfRange);
  EXPECT_EQ(source.blob_bytes_read(), 4U);
}

}  // namespace
}  // namespace starling::oci
