#include "registry/content_range.h"

#include <gtest/gtest.h>

namespace starling::registry {
namespace {

TEST(ParseContentRange, ReadsTheThreeForms) {
  const auto full = ParseContentRange("bytes 10-19/100");
  ASSERT_TRUE(full.ok());
  EXPECT_EQ(full->range, (oci::BlobRange{.blob_offset = 10, .size_bytes = 10}));
  EXPECT_EQ(full->total_bytes, 100u);
  const auto unknown = ParseContentRange("bytes 0-0/*");
  ASSERT_TRUE(unknown.ok());
  EXPECT_EQ(unknown->range, (oci::BlobRange{.blob_offset = 0, .size_bytes = 1}));
  EXPECT_FALSE(unknown->total_bytes.has_value());
  const auto refused = ParseContentRange("bytes */7");
  ASSERT_TRUE(refused.ok());
  EXPECT_FALSE(refused->range.has_value());
  EXPECT_EQ(refused->total_bytes, 7u);
}

TEST(ParseContentRange, RefusesTheRest) {
  const char* const cases[] = {"",
                               "bytes",
                               "bytes ",
                               "items 0-1/2",
                               "bytes 1-0/2",
                               "bytes 0-2/2",
                               "bytes 0-1",
                               "bytes -1/2",
                               "bytes 0-/2",
                               "bytes 0x0-1/2",
                               "bytes */*",
                               "bytes 0-1/",
                               "bytes 0-1/2 ",
                               "bytes +0-1/2",
                               "bytes 0-1/-2",
                               "bytes 0-18446744073709551615/*",
                               "bytes 0-1/99999999999999999999",
                               "bytes  0-1/2"};
  for (const char* text : cases) {
    SCOPED_TRACE(text);
    EXPECT_EQ(ParseContentRange(text).status().code(), StatusCode::kDataLoss);
  }
}

TEST(RangeHeader, NamesTheLastByte) {
  EXPECT_EQ(RangeHeader({.blob_offset = 5, .size_bytes = 3}), "bytes=5-7");
}

}  // namespace
}  // namespace starling::registry
