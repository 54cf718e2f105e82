#include "copy/blob_pull.h"

#include <gtest/gtest.h>

#include "tests/support/memory_image.h"

namespace starling::copy {
namespace {

using testing_support::MemoryImageSource;

TEST(BlobPull, ReadsFromAnOffset) {
  MemoryImageSource source;
  const std::string content(3 * BlobPull::kReadAheadBytes, 'x');
  const oci::Descriptor blob = source.Add("type", AsBytes(content + "end"));
  for (const uint64_t offset : {uint64_t{0}, uint64_t{5}, blob.size_bytes}) {
    BlobPull pull(source, blob, offset);
    const auto bytes = ReadAll(pull, blob.size_bytes);
    ASSERT_TRUE(bytes.ok()) << bytes.status();
    EXPECT_EQ(AsText(*bytes), std::string_view(content + "end").substr(offset));
  }
}

TEST(BlobPull, HandsOnTheSourcesError) {
  MemoryImageSource source;
  const oci::Descriptor blob = source.Add("type", AsBytes("content"));
  source.Fail(blob.digest, MakeError(StatusCode::kPermissionDenied, "secret"));
  BlobPull pull(source, blob, 0);
  EXPECT_EQ(ReadAll(pull, 100).status().code(), StatusCode::kPermissionDenied);
}

TEST(BlobPull, MayBeLeftBeforeItsEnd) {
  MemoryImageSource source;
  const oci::Descriptor blob =
      source.Add("type", AsBytes(std::string(4 * BlobPull::kReadAheadBytes, 'x')));
  BlobPull pull(source, blob, 0);
  Bytes some(10);
  EXPECT_TRUE(ReadFully(pull, some).ok());
}

}  // namespace
}  // namespace starling::copy
