#include "estargz/tar.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "tests/support/tar_builder.h"

namespace starling::estargz {
namespace {

using ::testing::HasSubstr;
using testing_support::TarBuilder;
using testing_support::TarDialect;
using testing_support::TarFile;

struct ReadTar {
  std::vector<TarEntry> entries;
  std::vector<std::string> contents;
};

StatusOr<ReadTar> ReadEntries(std::string_view tar) {
  SpanSource source(AsBytes(tar));
  TarReader reader(source);
  ReadTar result;
  for (;;) {
    ASSIGN_OR_RETURN(std::optional<TarEntry> entry, reader.Next());
    if (!entry) {
      return result;
    }
    std::string content(entry->size_bytes, '\0');
    RETURN_IF_ERROR(reader.ReadPayload(std::as_writable_bytes(std::span(content))));
    result.entries.push_back(*std::move(entry));
    result.contents.push_back(std::move(content));
  }
}

TarEntry OnlyEntry(std::string_view tar) {
  const StatusOr<ReadTar> read = ReadEntries(tar);
  EXPECT_TRUE(read.ok()) << Describe(read.status());
  if (!read.ok() || read->entries.size() != 1) {
    ADD_FAILURE() << "not one entry";
    return {};
  }
  return read->entries.front();
}

/// A signed header with `bytes` in place of the field at `at`.
std::string Patched(const TarFile& file, size_t at, std::string_view bytes,
                    TarDialect dialect = TarDialect::kUstar) {
  std::string header = TarBuilder::Header(file, dialect);
  header.replace(at, bytes.size(), bytes);
  return TarBuilder::Sign(header);
}

TEST(TarReader, ReadsEveryFieldOfEveryDialect) {
  for (const TarDialect dialect : {TarDialect::kUstar, TarDialect::kGnu}) {
    TarBuilder tar(dialect);
    tar.Add({.name = "dir/", .type = '5', .mode = 01777});
    tar.Add({.name = "dir/file",
             .content = "hello",
             .mode = 04755,
             .uid = 1000,
             .gid = 2000,
             .modified_seconds = 1'700'000'000,
             .user_name = "ada",
             .group_name = "staff"});
    tar.Add({.name = "hard", .type = '1', .link_name = "dir/file"});
    tar.Add({.name = "soft", .type = '2', .link_name = "../x"});
    tar.Add({.name = "null", .type = '3', .device_major = 1, .device_minor = 3});
    tar.Add({.name = "disk", .type = '4', .device_major = 8, .device_minor = 17});
    tar.Add({.name = "pipe", .type = '6'});
    tar.Add({.name = "contiguous", .type = '7', .content = std::string(600, 'c')});
    const StatusOr<ReadTar> read = ReadEntries(tar.Finish());
    ASSERT_TRUE(read.ok()) << Describe(read.status());
    const std::vector<TarEntry>& entries = read->entries;
    ASSERT_EQ(entries.size(), 8U);
    EXPECT_EQ(entries[0].type, TarType::kDirectory);
    EXPECT_EQ(entries[0].mode, 01777U);
    EXPECT_EQ(entries[1].name, "dir/file");
    EXPECT_EQ(entries[1].mode, 04755U);
    EXPECT_EQ(entries[1].uid, 1000U);
    EXPECT_EQ(entries[1].gid, 2000U);
    EXPECT_EQ(entries[1].modified_seconds, 1'700'000'000);
    EXPECT_EQ(entries[1].user_name, "ada");
    EXPECT_EQ(entries[1].group_name, "staff");
    EXPECT_EQ(read->contents[1], "hello");
    EXPECT_EQ(entries[2].type, TarType::kHardlink);
    EXPECT_EQ(entries[2].link_name, "dir/file");
    EXPECT_EQ(entries[3].type, TarType::kSymlink);
    EXPECT_EQ(entries[3].link_name, "../x");
    EXPECT_EQ(entries[4].type, TarType::kCharacter);
    EXPECT_EQ(entries[4].device_major, 1U);
    EXPECT_EQ(entries[4].device_minor, 3U);
    EXPECT_EQ(entries[5].type, TarType::kBlock);
    EXPECT_EQ(entries[5].device_minor, 17U);
    EXPECT_EQ(entries[6].type, TarType::kFifo);
    EXPECT_EQ(entries[7].type, TarType::kRegular);
    EXPECT_EQ(read->contents[7], std::string(600, 'c'));
  }
}

TEST(TarReader, ReadsLongNamesOfEveryDialect) {
  const std::string name = std::string(120, 'n') + "/" + std::string(130, 'm') + "\xff";
  const std::string target = std::string(300, 't');
  for (const TarDialect dialect : {TarDialect::kUstar, TarDialect::kGnu}) {
    TarBuilder tar(dialect);
    tar.Add({.name = name, .type = '2', .link_name = target});
    const TarEntry entry = OnlyEntry(tar.Finish());
    EXPECT_EQ(entry.name, name);
    EXPECT_EQ(entry.link_name, target);
    EXPECT_EQ(AsText(entry.header), tar.Unfinished()) << "as it came, extensions too";
  }
  EXPECT_EQ(OnlyEntry(Patched({.name = "file"}, 345, "some/prefix")).name, "some/prefix/file");
  EXPECT_EQ(OnlyEntry(Patched({.name = "file"}, 345, "1234567", TarDialect::kGnu)).name, "file")
      << "GNU keeps times where ustar has the prefix";
}

TEST(TarReader, ReadsVersion7) {
  EXPECT_EQ(OnlyEntry(Patched({.name = "dir/", .type = '\0'}, 345, "junk", TarDialect::kV7)).type,
            TarType::kDirectory);
  EXPECT_EQ(OnlyEntry(Patched({.name = "file", .type = '\0'}, 345, "junk", TarDialect::kV7)).name,
            "file");
}

TEST(TarReader, ReadsNumbersInEveryForm) {
  const struct {
    std::string_view name;
    std::string_view field;
    uint32_t want;
  } cases[] = {
      {.name = "padded with spaces", .field = "   755 \0", .want = 0755},
      {.name = "all digits", .field = "00001750", .want = 01750},
      {.name = "empty", .field = std::string_view("\0\0\0\0\0\0\0\0", 8), .want = 0},
      {.name = "base 256", .field = std::string_view("\x80\0\0\0\0\1\0\0", 8), .want = 65536},
      {.name = "largest",
       .field = std::string_view("\x80\0\0\0\xff\xff\xff\xff", 8),
       .want = 4'294'967'295},
  };
  for (const auto& c : cases) {
    SCOPED_TRACE(c.name);
    EXPECT_EQ(OnlyEntry(Patched({.name = "f"}, 108, c.field)).uid, c.want);
  }
  const std::string_view minus_two("\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xfe", 12);
  EXPECT_EQ(OnlyEntry(Patched({.name = "f"}, 136, minus_two)).modified_seconds, -2);
}

TEST(TarReader, AppliesPaxRecords) {
  TarBuilder tar;
  tar.Add({.name = "short",
           .content = "abc",
           .uid = 1,
           .pax = {{"path", "long/\xc3\xa9"},
                   {"uid", "3000000"},
                   {"gid", "4294967295"},
                   {"uname", "someone"},
                   {"gname", ""},
                   {"mtime", "-1.5"},
                   {"SCHILY.xattr.user.a", std::string("\0\n=", 3)},
                   {"LIBARCHIVE.xattr.user.b%3d", "AAE="},
                   {"LIBARCHIVE.xattr.user.a", "AAE="},
                   {"atime", "1"},
                   {"unknown", "x"}}});
  const TarEntry entry = OnlyEntry(tar.Finish());
  EXPECT_EQ(entry.name, "long/\xc3\xa9");
  EXPECT_EQ(entry.uid, 3'000'000U);
  EXPECT_EQ(entry.gid, 4'294'967'295U);
  EXPECT_EQ(entry.user_name, "someone");
  EXPECT_EQ(entry.modified_seconds, -2) << "rounded down";
  EXPECT_EQ(entry.modified_nanoseconds, 500'000'000U);
  EXPECT_EQ(entry.accessed, TarTime{1});
  EXPECT_EQ(entry.changed, std::nullopt);
  ASSERT_EQ(entry.xattrs.size(), 2U);
  EXPECT_EQ(AsText(entry.xattrs.at("user.a")), std::string_view("\0\n=", 3));
  EXPECT_EQ(AsText(entry.xattrs.at("user.b=")), std::string_view("\0\1", 2));
}

TEST(TarReader, ReadsTimesToTheNanosecond) {
  const struct {
    std::string_view text;
    TarTime want;
  } cases[] = {{"12", {12, 0}},
               {"12.", {12, 0}},
               {"12.5", {12, 500'000'000}},
               {"0.1234567899", {0, 123'456'789}},
               {"-0.25", {-1, 750'000'000}},
               {"-3.0", {-3, 0}}};
  for (const auto& c : cases) {
    SCOPED_TRACE(c.text);
    const TarEntry entry = OnlyEntry(
        TarBuilder().Add({.name = "f", .pax = {{"ctime", std::string(c.text)}}}).Finish());
    EXPECT_EQ(entry.changed, c.want);
    EXPECT_TRUE(entry.go_reads_alike);
  }
}

TEST(TarReader, SaysWhereGoReadsOtherValues) {
  const auto with_header = [](size_t at, std::string_view bytes, TarDialect dialect) {
    std::string header = TarBuilder::Header({.name = "f"}, dialect);
    header.replace(at, bytes.size(), bytes);
    return TarBuilder().AddBlocks(TarBuilder::Sign(header), "").Finish();
  };
  const struct {
    std::string_view name;
    std::string tar;
    bool want;
  } cases[] = {
      {"ustar", TarBuilder().Add({.name = "f", .content = "x"}).Finish(), true},
      {"GNU", TarBuilder(TarDialect::kGnu).Add({.name = "f"}).Finish(), true},
      {"version 7", TarBuilder(TarDialect::kV7).Add({.name = "f"}).Finish(), true},
      {"a device", TarBuilder().Add({.name = "f", .type = '3', .device_major = 1}).Finish(), true},
      {"a file with device numbers", TarBuilder().Add({.name = "f", .device_major = 1}).Finish(),
       false},
      {"times of GNU", with_header(345, "00000000001", TarDialect::kGnu), false},
      {"star", with_header(508, std::string_view("tar\0", 4), TarDialect::kUstar), false},
      {"a type of its own", TarBuilder().Add({.name = "f", .type = '7'}).Finish(), false},
      {"libarchive's xattr",
       TarBuilder().Add({.name = "f", .pax = {{"LIBARCHIVE.xattr.user.a", "AAE="}}}).Finish(),
       false},
      {"a broken time", TarBuilder().Add({.name = "f", .pax = {{"atime", "now"}}}).Finish(), false},
      {"two extended headers",
       TarBuilder().AddPax('x', {{"uid", "1"}}).Add({.name = "f", .pax = {{"gid", "1"}}}).Finish(),
       false},
      {"a directory with a size",
       TarBuilder().Add({.name = "f", .type = '5', .pax = {{"size", "5"}}}).Finish(), false},
  };
  for (const auto& c : cases) {
    SCOPED_TRACE(c.name);
    EXPECT_EQ(OnlyEntry(c.tar).go_reads_alike, c.want);
  }
}

TEST(TarReader, PaxSizeReplacesTheHeaders) {
  const std::string header = TarBuilder::Header({.name = "f"}, TarDialect::kUstar);
  TarBuilder tar;
  tar.AddPax('x', {{"size", "5"}}).AddBlocks(header, "hello").Add({.name = "next"});
  const StatusOr<ReadTar> read = ReadEntries(tar.Finish());
  ASSERT_TRUE(read.ok()) << Describe(read.status());
  EXPECT_EQ(read->contents, (std::vector<std::string>{"hello", ""}));
}

TEST(TarReader, GlobalRecordsApplyUntilChanged) {
  TarBuilder tar;
  tar.AddPax('g', {{"comment", "of git archive"}});
  tar.Add({.name = "plain"});
  tar.AddPax('g', {{"uid", "7"}, {"mtime", "9"}});
  tar.Add({.name = "global"});
  tar.Add({.name = "local", .uid = 1, .pax = {{"uid", "8"}}});
  tar.Add({.name = "cancelled", .uid = 2, .pax = {{"uid", ""}}});
  const StatusOr<ReadTar> read = ReadEntries(tar.Finish());
  ASSERT_TRUE(read.ok()) << Describe(read.status());
  const std::vector<TarEntry>& entries = read->entries;
  ASSERT_EQ(entries.size(), 6U);
  EXPECT_EQ(entries[0].type, TarType::kGlobalHeader);
  EXPECT_EQ(entries[0].header.size(), 1024U);
  EXPECT_FALSE(entries[1].uses_global_header) << "a comment changes nothing";
  EXPECT_EQ(entries[3].uid, 7U);
  EXPECT_EQ(entries[3].modified_seconds, 9);
  EXPECT_TRUE(entries[3].uses_global_header);
  EXPECT_EQ(entries[4].uid, 8U);
  EXPECT_EQ(entries[5].uid, 2U);
}

TEST(TarReader, SkipsWhatTheCallerDoesNotRead) {
  TarBuilder tar;
  tar.Add({.name = "big", .content = std::string(700'000, 'b')}).Add({.name = "after"});
  const std::string bytes = tar.Finish();
  SpanSource source(AsBytes(bytes));
  TarReader reader(source);
  ASSERT_EQ((*reader.Next())->name, "big");
  std::string part(10, '\0');
  ASSERT_TRUE(reader.ReadPayload(std::as_writable_bytes(std::span(part))).ok());
  EXPECT_EQ((*reader.Next())->name, "after");
  EXPECT_FALSE(reader.Next()->has_value());
  EXPECT_FALSE(reader.Next()->has_value()) << "the end stays the end";
}

TEST(TarReader, OnlyRegularFilesHaveContent) {
  const std::string header = Patched({.name = "dir/", .type = '5'}, 124, "00000001000");
  TarBuilder tar;
  tar.AddBlocks(header, "").Add({.name = "file"});
  const StatusOr<ReadTar> read = ReadEntries(tar.Finish());
  ASSERT_TRUE(read.ok()) << Describe(read.status());
  EXPECT_EQ(read->entries.size(), 2U);
}

TEST(TarReader, EndsAsContainerdDoes) {
  const std::string one = TarBuilder().Add({.name = "f", .content = "x"}).Unfinished();
  const std::string zero(512, '\0');
  const struct {
    std::string_view name;
    std::string bytes;
    StatusCode want;
  } cases[] = {
      {.name = "two zero blocks", .bytes = one + zero + zero, .want = StatusCode::kOk},
      {.name = "one zero block", .bytes = one + zero, .want = StatusCode::kOk},
      {.name = "none", .bytes = one, .want = StatusCode::kOk},
      {.name = "junk after the end", .bytes = one + zero + zero + "junk", .want = StatusCode::kOk},
      {.name = "nothing at all", .bytes = "", .want = StatusCode::kOk},
      {.name = "lone zero block", .bytes = one + zero + one, .want = StatusCode::kDataLoss},
      {.name = "padding missing", .bytes = one.substr(0, 1000), .want = StatusCode::kDataLoss},
      {.name = "content missing", .bytes = one.substr(0, 512), .want = StatusCode::kDataLoss},
      {.name = "half a header", .bytes = one.substr(0, 300), .want = StatusCode::kDataLoss},
      {.name = "no tar", .bytes = std::string(600, 'x'), .want = StatusCode::kDataLoss},
  };
  for (const auto& c : cases) {
    SCOPED_TRACE(c.name);
    EXPECT_EQ(ReadEntries(c.bytes).status().code(), c.want);
  }
}

TEST(TarReader, RefusesWhatIsWrong) {
  const std::string file = TarBuilder::Header({.name = "f"}, TarDialect::kUstar);
  const auto after_pax = [&file](const std::string& records) {
    return TarBuilder()
        .AddBlocks(
            TarBuilder::Header({.name = "p", .type = 'x', .content = records}, TarDialect::kUstar),
            records)
        .AddBlocks(file, "")
        .Finish();
  };
  std::string bad_checksum = file;
  bad_checksum[0] = 'g';
  const struct {
    std::string_view name;
    std::string bytes;
    StatusCode code;
    std::string_view says;
  } cases[] = {
      {"checksum", bad_checksum, StatusCode::kDataLoss, "checksum"},
      {"negative size", Patched({.name = "f"}, 124, "-0000000010"), StatusCode::kDataLoss, "size"},
      {"not octal", Patched({.name = "f"}, 100, "0000899"), StatusCode::kDataLoss, "mode"},
      {"uid of 64 bits", Patched({.name = "f"}, 108, "\x80\1\1\1\1\1\1\1"), StatusCode::kDataLoss,
       "owner"},
      {"huge", Patched({.name = "f"}, 124, std::string_view("\x80\0\0\0\0\x7f\0\0\0\0\0\0", 12)),
       StatusCode::kResourceExhausted, "limit"},
      {"base 256 overflow",
       Patched({.name = "f"}, 124, "\xbf\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff"),
       StatusCode::kDataLoss, "size"},
      {"GNU sparse", Patched({.name = "f", .type = 'S'}, 0, "f"), StatusCode::kUnimplemented,
       "sparse"},
      {"PAX sparse", after_pax(TarBuilder::Record("GNU.sparse.major", "1")),
       StatusCode::kUnimplemented, "sparse"},
      {"unknown type", Patched({.name = "f", .type = 'V'}, 0, "f"), StatusCode::kUnimplemented,
       "'V'"},
      {"record too long", after_pax("99 path=x\n"), StatusCode::kDataLoss, "length"},
      {"record too short", after_pax("3 path=x\n"), StatusCode::kDataLoss, "length"},
      {"record without length", after_pax("path=x\n"), StatusCode::kDataLoss, "length"},
      {"record of overflowing length", after_pax("99999999999999999999999 path=x\n"),
       StatusCode::kDataLoss, "length"},
      {"record without key", after_pax("5 =x\n"), StatusCode::kDataLoss, "key"},
      {"record without equals", after_pax("5 xx\n"), StatusCode::kDataLoss, "key"},
      {"PAX size", after_pax(TarBuilder::Record("size", "-1")), StatusCode::kDataLoss, "size"},
      {"PAX time", after_pax(TarBuilder::Record("mtime", "now")), StatusCode::kDataLoss, "mtime"},
      {"PAX uid", after_pax(TarBuilder::Record("uid", "4294967296")), StatusCode::kDataLoss, "uid"},
      {"NUL in a name", after_pax(TarBuilder::Record("path", std::string_view("a\0b", 3))),
       StatusCode::kDataLoss, "NUL"},
      {"xattr not base64", after_pax(TarBuilder::Record("LIBARCHIVE.xattr.user.a", "!")),
       StatusCode::kDataLoss, "base64"},
      {"extension too large", Patched({.name = "p", .type = 'x'}, 124, "00010000000"),
       StatusCode::kResourceExhausted, "larger"},
      {"extension at the end", TarBuilder().AddPax('x', {{"uid", "1"}}).Finish(),
       StatusCode::kDataLoss, "after an extended header"},
      {"global in between",
       TarBuilder().AddPax('x', {{"uid", "1"}}).AddPax('g', {{"uid", "1"}}).Finish(),
       StatusCode::kDataLoss, "global"},
  };
  for (const auto& c : cases) {
    SCOPED_TRACE(c.name);
    const Status status = ReadEntries(c.bytes).status();
    EXPECT_EQ(status.code(), c.code);
    EXPECT_THAT(std::string(MessageOf(status)), HasSubstr(std::string(c.says)));
  }
}

}  // namespace
}  // namespace starling::estargz
