#include "estargz/gzip_compressor.h"

#include <gtest/gtest.h>

#include <random>
#include <string>

#include "estargz/gzip_member.h"
#include "tests/support/gzip.h"

namespace starling::estargz {
namespace {

constexpr size_t kStretch = 256 << 10;

std::string Random(size_t size_bytes) {
  std::mt19937_64 random(1);
  std::string bytes(size_bytes, '\0');
  for (char& c : bytes) {
    c = static_cast<char>(random());
  }
  return bytes;
}

/// Every value once in each 256 bytes, in an order that deflate finds.
std::string Counting(size_t size_bytes) {
  std::string bytes(size_bytes, '\0');
  for (size_t i = 0; i < bytes.size(); ++i) {
    bytes[i] = static_cast<char>(i);
  }
  return bytes;
}

/// Numbers near to each other: their high bytes are, their low bytes are not.
std::string HalfRandom(size_t size_bytes) {
  std::string bytes = Random(size_bytes);
  for (size_t i = 1; i < bytes.size(); i += 2) {
    bytes[i] = static_cast<char>(0x3c | (bytes[i] & 3));
  }
  return bytes;
}

/// 6 bits of 8 are random.
std::string Letters(size_t size_bytes) {
  std::string bytes = Random(size_bytes);
  for (char& c : bytes) {
    c = static_cast<char>('0' + (c & 63));
  }
  return bytes;
}

std::string Replaced(std::string bytes, size_t at, const std::string& part) {
  return bytes.replace(at, part.size(), part);
}

TEST(IncompressibleProbe, Decides) {
  const std::string random = Random(8 * kStretch);
  const std::string zeros(16 << 10, '\0');
  const struct {
    std::string_view name;
    std::string bytes;
    bool want;
  } cases[] = {
      {"random", random, true},
      {"a chunk, its padding and the next header", random + std::string(1024, '\0'), true},
      {"as short as it gets", random.substr(0, kStretch), true},
      {"too short", random.substr(1, kStretch - 1), false},
      {"nothing", "", false},
      {"zeros", std::string(4 * kStretch, '\0'), false},
      {"all values, in order", Counting(4 * kStretch), false},
      {"half of it is random", HalfRandom(4 * kStretch), false},
      {"64 random letters", Letters(4 * kStretch), false},
      {"gzip of that", testing_support::Gzip(Letters(4 * kStretch)), true},
      {"zeros between the samples", Replaced(random, 5 * kStretch + 1000, zeros), false},
      {"zeros at the end", Replaced(random, random.size() - zeros.size(), zeros), false},
      {"order in one sample", Replaced(random, 3 * kStretch + kStretch / 2 - 4096, Counting(8192)),
       false},
  };
  IncompressibleProbe probe;
  for (const auto& c : cases) {
    SCOPED_TRACE(c.name);
    EXPECT_EQ(probe.Incompressible(AsBytes(c.bytes)), c.want);
    EXPECT_EQ(IncompressibleProbe().Incompressible(AsBytes(c.bytes)), c.want)
        << "what was probed before does not matter";
  }
}

TEST(GzipCompressor, EveryMemberComesBackAndFitsItsBound) {
  const struct {
    std::string_view name;
    std::string bytes;
    size_t most_bytes;  // of the member
  } cases[] = {
      {"nothing", "", 32},
      {"short", "hello", 64},
      {"zeros", std::string(4 * kStretch, '\0'), 2048},
      {"half random", HalfRandom(4 * kStretch), 4 * kStretch * 4 / 5},
      // 5 bytes a block of 64 KiB at most, header and trailer.
      {"stored", Random(4 * kStretch + 77), 4 * kStretch + 77 + 17 * 5 + 18},
  };
  GzipInflater inflater;
  for (const int level : {1, 6, 12}) {
    GzipCompressor compressor(level);
    for (const auto& c : cases) {
      SCOPED_TRACE(fmt::format("{} at level {}", c.name, level));
      Bytes member(compressor.BoundBytes(c.bytes.size()));
      const size_t size = compressor.CompressMember(AsBytes(c.bytes), member);
      ASSERT_GT(size, 0U);
      EXPECT_LE(size, c.most_bytes);
      member.resize(size);
      const auto all = inflater.InflateAll(member, c.bytes.size());
      ASSERT_TRUE(all.ok()) << Describe(all.status());
      EXPECT_EQ(AsText(*all), c.bytes);
    }
  }
}

TEST(GzipCompressor, OnlyTheLevelDecidesBesidesTheBytes) {
  const std::string text = HalfRandom(kStretch);
  const std::string random = Random(kStretch);
  const auto member = [](GzipCompressor& compressor, std::string_view bytes) {
    std::string out(compressor.BoundBytes(bytes.size()), '\0');
    out.resize(compressor.CompressMember(AsBytes(bytes), std::as_writable_bytes(std::span(out))));
    return out;
  };
  GzipCompressor used(9);
  const std::string first = member(used, text);
  const std::string stored = member(used, random);
  EXPECT_EQ(member(used, text), first);
  GzipCompressor fresh(9);
  EXPECT_EQ(member(fresh, random), stored);
  EXPECT_EQ(member(fresh, text), first);
}

}  // namespace
}  // namespace starling::estargz
