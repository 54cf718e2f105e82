#include "keeper/state.h"

#include <gtest/gtest.h>

namespace starling::keeper {
namespace {

std::vector<Entry> SomeEntries() {
  return {{.name = "fuse-plain", .value = ToBytes(std::string(104, '\1')), .fd = 7},
          {.name = "listener", .value = {}, .fd = 300},
          {.name = "a", .value = ToBytes("/run/x y\n"), .fd = 0}};
}

TEST(State, IsReadAsItWasWritten) {
  for (const auto& entries : {std::vector<Entry>(), SomeEntries()}) {
    const auto bytes = Encode(entries);
    ASSERT_TRUE(bytes.ok()) << bytes.status();
    EXPECT_EQ(*Decode(*bytes), entries);
  }
}

TEST(State, IsTheSameForEver) {
  const auto bytes = Encode({{.name = "ab", .value = ToBytes("xyz"), .fd = 0x01020304}});
  ASSERT_TRUE(bytes.ok());
  EXPECT_EQ(AsText(*bytes), std::string_view("starling-state\n"
                                             "\1\0\0\0"
                                             "\1"
                                             "\2ab"
                                             "\4\3\2\1"
                                             "\3\0xyz",
                                             32));
}

TEST(State, EncodeRefusesWhatDecodeWould) {
  const struct {
    std::string_view name;
    std::vector<Entry> entries;
  } kCases[] = {
      {"no name", {{.name = "", .value = {}, .fd = 1}}},
      {"a long name", {{.name = std::string(kMaxNameBytes + 1, 'a'), .value = {}, .fd = 1}}},
      {"another character", {{.name = "a:b", .value = {}, .fd = 1}}},
      {"no descriptor", {{.name = "a", .value = {}, .fd = -1}}},
      {"a name twice", {{.name = "a", .value = {}, .fd = 1}, {.name = "a", .value = {}, .fd = 2}}},
      {"a large value", {{.name = "a", .value = Bytes(kMaxStateBytes), .fd = 1}}},
      {"a value that does not fit its length", {{.name = "a", .value = Bytes(1 << 17), .fd = 1}}},
  };
  for (const auto& c : kCases) {
    EXPECT_FALSE(Encode(c.entries).ok()) << c.name;
  }
  std::vector<Entry> many;
  for (size_t i = 0; i <= kMaxEntries; ++i) {
    many.push_back({.name = std::string(i / 26 + 1, static_cast<char>('a' + i % 26)),
                    .value = {},
                    .fd = static_cast<int32_t>(i)});
  }
  EXPECT_EQ(Encode(many).status().code(), StatusCode::kInvalidArgument);
}

TEST(State, EveryOtherByteIsDamage) {
  const Bytes good = *Encode(SomeEntries());
  for (size_t size = 0; size < good.size(); ++size) {
    EXPECT_EQ(Decode(ByteSpan(good).first(size)).status().code(), StatusCode::kDataLoss) << size;
  }
  Bytes longer = good;
  longer.push_back(std::byte{0});
  EXPECT_EQ(Decode(longer).status().code(), StatusCode::kDataLoss);
  Bytes other = good;
  other[0] = std::byte{'S'};
  EXPECT_EQ(Decode(other).status().code(), StatusCode::kDataLoss);
  EXPECT_EQ(Decode(Bytes(kMaxStateBytes + 1)).status().code(), StatusCode::kDataLoss);
}

TEST(State, AnotherWireVersionIsRefused) {
  Bytes bytes = *Encode(SomeEntries());
  bytes[15] = static_cast<std::byte>(kWireVersion + 1);
  const Status status = Decode(bytes).status();
  EXPECT_EQ(status.code(), StatusCode::kFailedPrecondition);
  EXPECT_EQ(MessageOf(status),
            "kept state has wire version 2, this program knows 1: it can take over after a stop "
            "only");
}

}  // namespace
}  // namespace starling::keeper
