#include "estargz/tar_split_writer.h"

#include <gtest/gtest.h>

#include "estargz/zstd_frame.h"

namespace starling::estargz {
namespace {

TEST(Crc64, IsThatOfGo) {
  // Source: the catalogue of CRCs, "CRC-64/GO-ISO", check.
  EXPECT_EQ(Crc64(0, AsBytes("123456789")), 0xb90956c775a41001U);
  EXPECT_EQ(Crc64(Crc64(0, AsBytes("12345")), AsBytes("6789")), 0xb90956c775a41001U);
  EXPECT_EQ(Crc64(0, {}), 0U);
}

std::string Lines(const TarSplit& split) {
  EXPECT_EQ(split.digest, oci::Digest::Of(split.frame));
  Bytes out(split.decompressed_bytes);
  EXPECT_TRUE(ZstdDecoder().DecodeAll(split.frame, out).ok());
  return std::string(AsText(out));
}

TEST(TarSplitWriter, PutsPaddingInFrontOfTheNextHeader) {
  TarSplitWriter writer(3);
  writer.Add({.name = "a", .size_bytes = 510, .header = ToBytes("H1")}, 0x0102030405060708);
  writer.Add({.name = "d\"/", .type = TarType::kDirectory, .header = ToBytes("H2")}, 0);
  const std::optional<TarSplit> split = writer.Finish(AsBytes("end"));
  ASSERT_TRUE(split.has_value());
  EXPECT_EQ(Lines(*split), R"({"type":2,"payload":"SDE=","position":0}
{"type":1,"name":"a","size":510,"payload":"AQIDBAUGBwg=","position":1}
{"type":2,"payload":"AABIMg==","position":2}
{"type":1,"name":"d\"/","payload":null,"position":3}
{"type":2,"payload":"ZW5k","position":4}
)");
}

TEST(TarSplitWriter, IsNoneForWhatItsReadersRefuse) {
  const struct {
    std::string_view name;
    TarEntry entry;
    bool want;
  } cases[] = {
      {"another name", {.name = "b"}, true},
      {"the same name", {.name = "/a"}, false},
      {"no UTF-8", {.name = "\xff"}, false},
      {"no UTF-8 in a target",
       {.name = "b", .type = TarType::kSymlink, .link_name = "\xff"},
       false},
      {"a global header", {.type = TarType::kGlobalHeader}, false},
      {"a year of five digits", {.name = "b", .modified_seconds = 300'000'000'000}, false},
      {"an access in that year",
       {.name = "b", .accessed = TarTime{.seconds = 300'000'000'000}},
       false},
      {"what Go reads otherwise", {.name = "b", .go_reads_alike = false}, false},
  };
  for (const auto& c : cases) {
    SCOPED_TRACE(c.name);
    TarSplitWriter writer(3);
    writer.Add({.name = "a"}, 0);
    writer.Add(c.entry, 0);
    writer.Add({.name = "last"}, 0);
    EXPECT_EQ(writer.Finish({}).has_value(), c.want);
  }
}

}  // namespace
}  // namespace starling::estargz
