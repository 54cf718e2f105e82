#include "base/hex.h"

#include <gtest/gtest.h>

namespace starling {
namespace {

TEST(Hex, RoundTripsAndRefusesOtherText) {
  EXPECT_EQ(HexEncode(AsBytes("\x01\xff")), "01ff");
  EXPECT_EQ(HexDecode("01ff"), ToBytes("\x01\xff"));
  for (const std::string_view bad : {"0", "0g", "FF", "zz"}) {
    EXPECT_FALSE(HexDecode(bad)) << bad;
  }
}

TEST(Base64, AgreesWithTheVectorsOfRfc4648) {
  const struct {
    std::string_view plain;
    std::string_view encoded;
  } cases[] = {{"", ""},
               {"f", "Zg=="},
               {"fo", "Zm8="},
               {"foo", "Zm9v"},
               {"foob", "Zm9vYg=="},
               {"fooba", "Zm9vYmE="},
               {"foobar", "Zm9vYmFy"}};
  for (const auto& c : cases) {
    EXPECT_EQ(Base64Encode(AsBytes(c.plain)), c.encoded);
    EXPECT_EQ(Base64Decode(c.encoded), ToBytes(c.plain));
  }
}

TEST(Base64, RefusesWhatNoEncoderWrites) {
  for (const std::string_view bad : {"Z", "Zh==", "Zm9v!", "=Zm9", "Zg==="}) {
    EXPECT_FALSE(Base64Decode(bad)) << bad;
  }
  EXPECT_EQ(Base64Decode("Zg"), ToBytes("f")) << "padding may be missing";
}

}  // namespace
}  // namespace starling
