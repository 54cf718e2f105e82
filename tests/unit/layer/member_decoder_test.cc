#include "layer/member_decoder.h"

#include <gtest/gtest.h>

#include <string>

#include "layer/index_builder.h"
#include "tests/support/gzip.h"
#include "tests/support/gzip_layer.h"
#include "tests/support/zstd_blob.h"

namespace starling::layer {
namespace {

using testing_support::Gzip;
using testing_support::Zstd;

TEST(DecodePrefix, ClassifiesInput) {
  const std::string content(5000, 'a');
  const std::string member = Gzip(content);
  std::string broken = member;
  broken[broken.size() / 2] = static_cast<char>(broken[broken.size() / 2] ^ '\xff');
  const struct {
    std::string_view name;
    std::string compressed;
    uint64_t wanted_bytes;
    StatusCode want;
  } cases[] = {
      {"all of it", member, 5000, StatusCode::kOk},
      {"a part", member, 10, StatusCode::kOk},
      {"two members", member + Gzip(content), 7000, StatusCode::kOk},
      {"a member that goes on", Gzip(std::string(200'000, 'a')), 5000, StatusCode::kOk},
      {"something else behind it", member + "something else", 5000, StatusCode::kOk},
      {"more than it has", member, 5001, StatusCode::kDataLoss},
      {"more than deflate could hold", member, 100'000'000, StatusCode::kDataLoss},
      {"more than is decoded", member, kMaxMemberBytes + 1, StatusCode::kResourceExhausted},
      {"broken", broken, 5000, StatusCode::kDataLoss},
      {"cut off", member.substr(0, member.size() / 2), 5000, StatusCode::kDataLoss},
      {"nothing", "", 1, StatusCode::kDataLoss},
  };
  for (const auto& c : cases) {
    SCOPED_TRACE(c.name);
    const StatusOr<DecodedBytes> decoded =
        DecodePrefix(Codec::kGzip, AsBytes(c.compressed), c.wanted_bytes);
    ASSERT_EQ(decoded.status().code(), c.want) << decoded.status();
    if (decoded.ok()) {
      EXPECT_EQ(AsText(decoded->span()), std::string(c.wanted_bytes, 'a'));
    }
  }
}

TEST(DecodePrefix, DecodesZstd) {
  const std::string content(5000, 'a');
  const std::string frame = Zstd(content);
  const struct {
    std::string_view name;
    std::string compressed;
    uint64_t wanted_bytes;
    StatusCode want;
  } cases[] = {
      {"all of it", frame, 5000, StatusCode::kOk},
      {"a part", frame, 10, StatusCode::kOk},
      {"a frame of headers behind it", frame + Zstd("headers"), 5000, StatusCode::kOk},
      {"two frames", frame + frame, 7000, StatusCode::kOk},
      {"a frame that goes on", Zstd(std::string(200'000, 'a')), 5000, StatusCode::kOk},
      {"more than it has", frame, 5001, StatusCode::kDataLoss},
      {"gzip", Gzip(content), 5000, StatusCode::kDataLoss},
      {"more than is decoded", frame, kMaxMemberBytes + 1, StatusCode::kResourceExhausted},
      {"nothing", "", 1, StatusCode::kDataLoss},
  };
  for (const auto& c : cases) {
    SCOPED_TRACE(c.name);
    const StatusOr<DecodedBytes> decoded =
        DecodePrefix(Codec::kZstd, AsBytes(c.compressed), c.wanted_bytes);
    ASSERT_EQ(decoded.status().code(), c.want) << decoded.status();
    if (decoded.ok()) {
      EXPECT_EQ(AsText(decoded->span()), std::string(c.wanted_bytes, 'a'));
    }
  }
}

TEST(DecodeMember, InflatesSpans) {
  const auto made = testing_support::MakeGzipLayer(2);
  ASSERT_TRUE(made.ok()) << made.status();
  const auto index = BuildIndex(made->index);
  ASSERT_TRUE(index.ok()) << index.status();
  const auto table = ChunkTable::Open(index->chunk_table);
  ASSERT_TRUE(table.ok()) << table.status();
  ASSERT_GT(table->members().size(), 10U);
  const estargz::GzipSpan span = made->index.seek_index().SpanAt(5);
  const MemberRecord& member = table->members()[5];
  ASSERT_EQ(member.blob_offset, span.blob_offset);
  const ByteSpan compressed = AsBytes(made->blob).subspan(member.blob_offset, member.blob_size);
  const struct {
    std::string_view name;
    ByteSpan compressed;
    uint64_t wanted_bytes;
    StatusCode want;
  } cases[] = {
      {"all of it", compressed, span.tar_bytes, StatusCode::kOk},
      {"a part", compressed, 10, StatusCode::kOk},
      {"bytes behind it", AsBytes(made->blob).subspan(member.blob_offset), span.tar_bytes,
       StatusCode::kOk},
      {"more than it has", compressed, span.tar_bytes + 1, StatusCode::kDataLoss},
      {"cut off", compressed.first(compressed.size() / 2), span.tar_bytes, StatusCode::kDataLoss},
      {"nothing", {}, 1, StatusCode::kDataLoss},
  };
  for (const auto& c : cases) {
    SCOPED_TRACE(c.name);
    const auto decoded = DecodeMember(*table, 5, c.compressed, c.wanted_bytes);
    ASSERT_EQ(decoded.status().code(), c.want) << decoded.status();
    if (decoded.ok()) {
      EXPECT_TRUE(AsText(decoded->span()) == made->tar.substr(span.tar_offset, c.wanted_bytes));
    }
  }
}

}  // namespace
}  // namespace starling::layer
