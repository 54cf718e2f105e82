#include "estargz/tar_header.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "base/io.h"

namespace starling::estargz {
namespace {

using testing::HasSubstr;

/// What a reader makes of a header that stands before `content`.
TarEntry ReadBack(ByteSpan header, std::string_view content = "") {
  Bytes tar(header.begin(), header.end());
  Append(tar, AsBytes(content));
  tar.resize(tar.size() + TarPadding(content.size()) + 2 * kTarBlockBytes);
  SpanSource source(tar);
  TarReader reader(source);
  const auto entry = reader.Next();
  EXPECT_TRUE(entry.ok()) << entry.status();
  return entry.ok() && *entry ? **entry : TarEntry();
}

TEST(MakeTarHeader, IsReadBack) {
  const std::string long_name = std::string(90, 'd') + "/" + std::string(90, 'f');
  struct Case {
    const char* name;
    TarEntry entry;
    size_t blocks;
  };
  const Case cases[] = {
      {"plain", {.name = "f", .size_bytes = 0, .mode = 0644, .modified_seconds = 1}, 1},
      {"full name", {.name = std::string(100, 'n')}, 1},
      {"long name", {.name = long_name}, 3},
      {"other letters", {.name = "h\xc3\xa9"}, 3},
      {"no text at all", {.name = "\xff\n\x01"}, 3},
      {"directory", {.name = "d/", .type = TarType::kDirectory, .mode = 01777}, 1},
      {"link", {.name = "l", .type = TarType::kSymlink, .link_name = "../t"}, 1},
      {"long link", {.name = "l", .type = TarType::kSymlink, .link_name = long_name}, 3},
      {"hard link", {.name = "h", .type = TarType::kHardlink, .link_name = "f"}, 1},
      {"fifo", {.name = "p", .type = TarType::kFifo, .mode = 0600}, 1},
      {"device",
       {.name = "c", .type = TarType::kCharacter, .device_major = 1, .device_minor = 1'000'000},
       1},
      {"block device", {.name = "b", .type = TarType::kBlock, .device_major = 8}, 1},
      {"small ids", {.name = "f", .uid = 07777777, .gid = 1000}, 1},
      {"large ids", {.name = "f", .uid = 010000000, .gid = 4294967295}, 3},
      {"before 1970", {.name = "f", .modified_seconds = -1}, 3},
      {"far away", {.name = "f", .modified_seconds = int64_t{1} << 33}, 3},
      {"attributes",
       {.name = "f",
        .xattrs = {{"user.empty", {}}, {"user.line", ToBytes(std::string_view("a\n\0=b", 5))}}},
       3},
      {"a long attribute", {.name = "f", .xattrs = {{"user.x", Bytes(900)}}}, 4},
  };
  for (const Case& c : cases) {
    SCOPED_TRACE(c.name);
    const auto header = MakeTarHeader(c.entry);
    ASSERT_TRUE(header.ok()) << header.status();
    EXPECT_EQ(header->size(), c.blocks * kTarBlockBytes);
    const TarEntry entry = ReadBack(*header);
    EXPECT_EQ(entry.name, c.entry.name);
    EXPECT_EQ(entry.type, c.entry.type);
    EXPECT_EQ(entry.mode, c.entry.mode);
    EXPECT_EQ(entry.uid, c.entry.uid);
    EXPECT_EQ(entry.gid, c.entry.gid);
    EXPECT_EQ(entry.modified_seconds, c.entry.modified_seconds);
    EXPECT_EQ(entry.link_name, c.entry.link_name);
    EXPECT_EQ(entry.device_major, c.entry.device_major);
    EXPECT_EQ(entry.device_minor, c.entry.device_minor);
    EXPECT_EQ(entry.xattrs, c.entry.xattrs);
    EXPECT_TRUE(entry.go_reads_alike);
  }
}

TEST(MakeTarHeader, ARecordKnowsItsOwnLength) {
  // Around the lengths that get one more digit.
  for (size_t size = 80; size < 110; ++size) {
    const Bytes value(size, std::byte{'v'});
    const auto header = MakeTarHeader({.name = "f", .xattrs = {{"user.x", value}}});
    ASSERT_TRUE(header.ok()) << header.status();
    EXPECT_EQ(ReadBack(*header).xattrs.at("user.x"), value) << size;
  }
}

TEST(MakeTarHeader, FilesOfMoreThan8GiBHaveTheirSizeInARecord) {
  const auto header = MakeTarHeader({.name = "f", .size_bytes = uint64_t{1} << 33});
  ASSERT_TRUE(header.ok()) << header.status();
  EXPECT_THAT(std::string(AsText(*header)), HasSubstr("19 size=8589934592\n"));
}

TEST(MakeTarHeader, RefusesWhatNoTarHolds) {
  struct Case {
    const char* name;
    TarEntry entry;
    const char* says;
  };
  const Case cases[] = {
      {"no name", {.name = ""}, "a name that no file has"},
      {"zero in the name", {.name = std::string("a\0b", 3)}, "a name that no file has"},
      {"attribute with =", {.name = "f", .xattrs = {{"user.a=b", {}}}}, "\"user.a=b\" cannot be"},
      {"device", {.name = "c", .type = TarType::kBlock, .device_minor = 1U << 31}, "fits no tar"},
  };
  for (const Case& c : cases) {
    SCOPED_TRACE(c.name);
    const Status status = MakeTarHeader(c.entry).status();
    EXPECT_EQ(status.code(), StatusCode::kInvalidArgument);
    EXPECT_THAT(std::string(MessageOf(status)), HasSubstr(c.says));
  }
}

TEST(MakeTarHeader, OfAFileWithoutAnything) {
  const TarEntry entry = ReadBack(MakeTarHeader("stargz.index.json", 3), "abc");
  EXPECT_EQ(entry.name, "stargz.index.json");
  EXPECT_EQ(entry.size_bytes, 3U);
  EXPECT_EQ(entry.mode, 0444U);
}

}  // namespace
}  // namespace starling::estargz
