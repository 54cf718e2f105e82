#include "oci/digest.h"

#include <gtest/gtest.h>

namespace starling::oci {
namespace {

// FIPS 180-2, appendix B.1.
constexpr std::string_view kOfAbc =
    "sha256:ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad";

TEST(Digest, RoundTripsItsText) {
  const auto parsed = Digest::Parse(kOfAbc);
  ASSERT_TRUE(parsed.ok()) << parsed.status();
  EXPECT_EQ(*parsed, Digest::Of(AsBytes("abc")));
  EXPECT_EQ(parsed->ToString(), kOfAbc);
  EXPECT_EQ(parsed->Hex(), kOfAbc.substr(7));
  EXPECT_FALSE(parsed->empty());
  EXPECT_TRUE(Digest().empty());
}

TEST(Digest, ClassifiesOtherTexts) {
  const struct {
    std::string text;
    StatusCode want;
  } cases[] = {
      {"", StatusCode::kInvalidArgument},
      {"sha256:", StatusCode::kInvalidArgument},
      {"sha256:ab", StatusCode::kInvalidArgument},
      {std::string(kOfAbc) + "00", StatusCode::kInvalidArgument},
      {"SHA256:" + std::string(kOfAbc.substr(7)), StatusCode::kInvalidArgument},
      {"sha256:" + std::string(64, 'F'), StatusCode::kInvalidArgument},
      {"sha512:" + std::string(128, 'a'), StatusCode::kUnimplemented},
  };
  for (const auto& c : cases) {
    SCOPED_TRACE(c.text);
    EXPECT_EQ(Digest::Parse(c.text).status().code(), c.want);
  }
}

TEST(DigestingSink, HashesAndCountsWhatPasses) {
  BytesSink stored;
  DigestingSink sink(stored);
  ASSERT_TRUE(sink.Write(AsBytes("a")).ok());
  ASSERT_TRUE(sink.Write(AsBytes("bc")).ok());
  EXPECT_EQ(sink.size_bytes(), 3U);
  EXPECT_EQ(sink.Finish().ToString(), kOfAbc);
  EXPECT_EQ(AsText(stored.bytes()), "abc");
}

}  // namespace
}  // namespace starling::oci
