#include "store/layer_record.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

namespace starling::store {
namespace {

LayerRecord Sample() {
  return {.key = {.layer = oci::Digest::Of(AsBytes("l")), .toc = oci::Digest::Of(AsBytes("t"))},
          .info = {.blob_size_bytes = 1, .data_size_bytes = uint64_t{1} << 40, .chunk_count = 3},
          .index = {.size_bytes = 4, .digest = oci::Digest::Of(AsBytes("i"))},
          .chunk_table = {.size_bytes = 5, .digest = oci::Digest::Of(AsBytes("c"))}};
}

TEST(LayerRecord, ParsesWhatItWrites) {
  const auto parsed = LayerRecord::Parse(Sample().ToJson());
  ASSERT_TRUE(parsed.ok()) << Describe(parsed.status());
  EXPECT_EQ(*parsed, Sample());
}

TEST(LayerRecord, RefusesEverythingElse) {
  const struct {
    std::string_view name;
    std::string from;
    std::string to;
    std::string_view message;
  } cases[] = {
      {"truncated", "}\n}\n", "", "object"},
      {"unknown member", "\"version\"", "\"extra\": 1, \"version\"", "eight members"},
      {"newer version", "\"version\": 1", "\"version\": 2", "version 2"},
      {"version as text", "\"version\": 1", "\"version\": \"1\"", "version"},
      {"negative size", "\"blob_size_bytes\": 1", "\"blob_size_bytes\": -1", "blob_size_bytes"},
      {"fraction", "\"chunk_count\": 3", "\"chunk_count\": 3.5", "chunk_count"},
      {"too many chunks", "\"chunk_count\": 3", "\"chunk_count\": 4294967297", "chunks"},
      {"too much data", "1099511627776", "109951162777600", "data"},
      {"other digest", "\"toc\": \"sha256:", "\"toc\": \"sha512:", "toc"},
      {"no digest", "\"layer\": \"sha256:", "\"layer\": \"", "layer"},
      {"misnamed member", "\"index\"", "\"indez\"", "index"},
      {"misnamed size", "\"size_bytes\": 4", "\"size\": 4", "size_bytes"},
  };
  for (const auto& c : cases) {
    SCOPED_TRACE(c.name);
    std::string json = Sample().ToJson();
    const size_t at = c.name == "truncated" ? json.size() - 4 : json.find(c.from);
    ASSERT_NE(at, std::string::npos);
    json.replace(at, c.from.size(), c.to);
    const auto parsed = LayerRecord::Parse(json);
    EXPECT_EQ(parsed.status().code(), StatusCode::kDataLoss);
    EXPECT_THAT(MessageOf(parsed.status()), testing::HasSubstr(c.message));
  }
}

}  // namespace
}  // namespace starling::store
