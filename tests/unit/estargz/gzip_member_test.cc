#include "estargz/gzip_member.h"

#include <gtest/gtest.h>

#include <string>

#include "tests/support/gzip.h"

namespace starling::estargz {
namespace {

using testing_support::Gzip;

// Text that compresses a little and repeats nowhere exactly.
std::string Numbers(size_t size_bytes) {
  std::string text;
  for (uint64_t i = 1; text.size() < size_bytes; i = i * 2862933555777941757ULL + 3037000493ULL) {
    text += std::to_string(i);
  }
  text.resize(size_bytes);
  return text;
}

std::string Range(ByteSpan compressed, uint64_t inner_offset, size_t size_bytes, Status& status) {
  std::string out(size_bytes, '?');
  status =
      GzipInflater().InflateRange(compressed, inner_offset, std::as_writable_bytes(std::span(out)));
  return out;
}

TEST(InflateMember, DecompressesTheFirstMember) {
  const std::string member = Gzip("hello");
  Bytes out(10);
  const auto result = GzipInflater().InflateMember(AsBytes(member + Gzip("more")), out);
  ASSERT_TRUE(result.ok()) << result.status();
  EXPECT_EQ(result->compressed_bytes, member.size());
  EXPECT_EQ(AsText(ByteSpan(out).first(result->decompressed_bytes)), "hello");
}

TEST(InflateMember, RefusesWhatDoesNotFitOrIsBroken) {
  const std::string member = Gzip(Numbers(1000));
  std::string bad_checksum = member;
  bad_checksum[bad_checksum.size() - 8] ^= 1;
  std::string bad_size = member;
  bad_size.back() ^= 1;
  const struct {
    std::string_view name;
    std::string input;
    size_t out_bytes;
    StatusCode want;
  } cases[] = {
      {"fits", member, 1000, StatusCode::kOk},
      {"one byte too many", member, 999, StatusCode::kResourceExhausted},
      {"no room", member, 0, StatusCode::kResourceExhausted},
      {"empty input", "", 10, StatusCode::kDataLoss},
      {"header only", member.substr(0, 10), 1000, StatusCode::kDataLoss},
      {"cut off", member.substr(0, member.size() / 2), 1000, StatusCode::kDataLoss},
      {"no trailer", member.substr(0, member.size() - 8), 1000, StatusCode::kDataLoss},
      {"wrong checksum", bad_checksum, 1000, StatusCode::kDataLoss},
      {"wrong size", bad_size, 1000, StatusCode::kDataLoss},
      {"not gzip", std::string(100, 'x'), 1000, StatusCode::kDataLoss},
  };
  GzipInflater inflater;
  for (const auto& c : cases) {
    SCOPED_TRACE(c.name);
    Bytes out(c.out_bytes);
    EXPECT_EQ(inflater.InflateMember(AsBytes(c.input), out).status().code(), c.want);
  }
}

TEST(InflateRange, FindsBytesInsideOneMemberAndAcrossMembers) {
  const std::string text = Numbers(3'000'000);
  const std::string one = Gzip(text);
  const std::string three = Gzip(text.substr(0, 1000)) + Gzip(text.substr(1000, 1'999'000)) +
                            Gzip(text.substr(2'000'000));
  const struct {
    std::string_view name;
    uint64_t inner_offset;
    size_t size_bytes;
  } cases[] = {
      {"everything", 0, 3'000'000},
      {"start", 0, 10},
      {"end", 2'999'990, 10},
      {"one byte before the end", 0, 2'999'999},
      {"middle", 1'500'000, 1000},
      {"across members", 900, 1'999'500},
      {"nothing", 5, 0},
  };
  for (const auto& c : cases) {
    for (const std::string& compressed : {one, three}) {
      SCOPED_TRACE(c.name);
      Status status;
      EXPECT_EQ(Range(AsBytes(compressed), c.inner_offset, c.size_bytes, status),
                text.substr(c.inner_offset, c.size_bytes));
      EXPECT_TRUE(status.ok()) << status;
    }
  }
}

TEST(InflateRange, IgnoresWhatLiesBehind) {
  Status status;
  EXPECT_EQ(Range(AsBytes(Gzip(Numbers(5000)) + "garbage behind the member"), 0, 5000, status),
            Numbers(5000));
  EXPECT_TRUE(status.ok()) << status;
}

TEST(InflateRange, RefusesWhatIsNotThere) {
  const std::string member = Gzip(Numbers(5000));
  std::string broken = member;
  broken[broken.size() / 2] ^= 0x55;
  std::string lying = Gzip(Numbers(5000));  // claims 6000 bytes
  lying.replace(lying.size() - 4, 4, std::string_view("\x70\x17\0\0", 4));
  const struct {
    std::string_view name;
    std::string input;
    uint64_t inner_offset;
    size_t size_bytes;
  } cases[] = {
      {"one byte too many", member, 0, 5001},
      {"size that lies", lying, 0, 6000},
      {"behind the end", member, 5000, 1},
      {"far behind the end", member, 100'000, 1},
      {"beyond any ratio", member, 1ULL << 40, 1},
      {"offset overflows", member, ~0ULL, 2},
      {"cut off", member.substr(0, member.size() / 2), 0, 5000},
      {"broken", broken, 0, 5000},
      {"empty", "", 0, 1},
      {"second member is not gzip", member + "xxxxxxxxxxxxxxxxxxxxxxxxxxxx", 4999, 2},
  };
  for (const auto& c : cases) {
    SCOPED_TRACE(c.name);
    Status status;
    Range(AsBytes(c.input), c.inner_offset, c.size_bytes, status);
    EXPECT_EQ(status.code(), StatusCode::kDataLoss) << status;
  }
}

TEST(InflateRange, FallsBackWhenTheClaimedSizeIsWrong) {
  // Two members: the claim is that of the second, and large enough for the first's range.
  const std::string text = Numbers(2000);
  Status status;
  EXPECT_EQ(Range(AsBytes(Gzip(text.substr(0, 10)) + Gzip(text.substr(10))), 0, 1500, status),
            text.substr(0, 1500));
  EXPECT_TRUE(status.ok()) << status;
}

TEST(InflateAll, HonoursTheLimitExactly) {
  const std::string text = Numbers(200'000);
  const std::string one = Gzip(text);
  const std::string two = Gzip(text.substr(0, 70'000)) + Gzip(text.substr(70'000));
  GzipInflater inflater;
  for (const std::string& compressed : {one, two}) {
    for (const uint64_t limit_bytes : {200'000ULL, 200'001ULL, ~0ULL - 1}) {
      const StatusOr<Bytes> all = inflater.InflateAll(AsBytes(compressed), limit_bytes);
      ASSERT_TRUE(all.ok()) << all.status();
      EXPECT_EQ(AsText(*all), text);
    }
    EXPECT_EQ(inflater.InflateAll(AsBytes(compressed), 199'999).status().code(),
              StatusCode::kResourceExhausted);
  }
}

TEST(InflateAll, StopsABombAtTheLimit) {
  const std::string bomb = Gzip(std::string(64 << 20, '\0'), 9);
  ASSERT_LT(bomb.size(), 100'000U);
  GzipInflater inflater;
  EXPECT_EQ(inflater.InflateAll(AsBytes(bomb), 1 << 20).status().code(),
            StatusCode::kResourceExhausted);
  std::string lying = bomb;  // claims to be small
  lying.replace(lying.size() - 4, 4, std::string_view("\x10\0\0\0", 4));
  EXPECT_EQ(inflater.InflateAll(AsBytes(lying), 1 << 20).status().code(),
            StatusCode::kResourceExhausted);
}

TEST(InflateAll, RefusesTrailingBytesAndBrokenInput) {
  GzipInflater inflater;
  EXPECT_EQ(inflater.InflateAll(AsBytes(Gzip("x") + "trailing"), 100).status().code(),
            StatusCode::kDataLoss);
  EXPECT_EQ(inflater.InflateAll(AsBytes(Gzip("x").substr(0, 12)), 100).status().code(),
            StatusCode::kDataLoss);
  const StatusOr<Bytes> empty = inflater.InflateAll({}, 100);
  ASSERT_TRUE(empty.ok());
  EXPECT_TRUE(empty->empty());
}

TEST(ClaimedSizeBytes, ReadsTheTrailer) {
  EXPECT_EQ(ClaimedSizeBytes(AsBytes(Gzip(Numbers(5000)))), 5000U);
  EXPECT_EQ(ClaimedSizeBytes(AsBytes("short")), std::nullopt);
}

}  // namespace
}  // namespace starling::estargz
