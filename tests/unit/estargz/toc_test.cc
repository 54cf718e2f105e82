#include "estargz/toc.h"

#include <gtest/gtest.h>

#include <string>

#include "tests/support/gzip.h"
#include "tests/support/toc_json.h"
#include "tests/support/zstd_blob.h"

namespace starling::estargz {
namespace {

using testing_support::FakeDigest;
using testing_support::Gzip;
using testing_support::TarOf;
using testing_support::TocDocument;
using testing_support::TocMember;
using testing_support::Zstd;

StatusOr<Toc> ParseEntry(std::string_view entry) {
  return Toc::Parse(AsBytes(TocDocument({std::string(entry)})));
}

TEST(ExtractToc, YieldsTheJsonAndItsDigest) {
  const std::string json = TocDocument({R"({"name":"a","type":"dir"})"});
  const StatusOr<TocJson> toc = ExtractToc(AsBytes(TocMember(json)));
  ASSERT_TRUE(toc.ok()) << toc.status();
  EXPECT_EQ(AsText(toc->json), json);
  EXPECT_EQ(toc->digest, oci::Digest::Of(AsBytes(json)));
  EXPECT_EQ(Toc::Parse(*toc)->entries().size(), 1U);
}

TEST(ExtractToc, DigestCoversEveryByteOfTheEntry) {
  // The peer's two readers disagree about what follows the document; here it is hashed, then
  // refused.
  const std::string json = TocDocument({}) + "\n \n";
  const StatusOr<TocJson> spaces = ExtractToc(AsBytes(TocMember(json)));
  ASSERT_TRUE(spaces.ok());
  EXPECT_EQ(spaces->digest, oci::Digest::Of(AsBytes(json)));
  EXPECT_TRUE(Toc::Parse(*spaces).ok()) << "white space is part of JSON";
  const StatusOr<TocJson> more = ExtractToc(AsBytes(TocMember(TocDocument({}) + "{}")));
  ASSERT_TRUE(more.ok());
  EXPECT_EQ(Toc::Parse(*more).status().code(), StatusCode::kDataLoss);
}

TEST(ExtractToc, RefusesWhatIsNoToc) {
  const std::string json = TocDocument({});
  const std::string tar = TarOf(kTocName, json);
  std::string bad_checksum = tar;
  bad_checksum[0] = 'x';
  std::string bad_size = TarOf(kTocName, std::string(100, 'x'));
  const struct {
    std::string_view name;
    std::string member;
    StatusCode want;
  } cases[] = {
      {"good", Gzip(tar), StatusCode::kOk},
      {"old tar's file type", Gzip(TarOf(kTocName, json, '\0')), StatusCode::kOk},
      {"no end of the tar", Gzip(tar.substr(0, 1024)), StatusCode::kOk},
      {"no padding", Gzip(tar.substr(0, 512 + json.size())), StatusCode::kOk},
      {"other name", Gzip(TarOf("stargz.index.jsonx", json)), StatusCode::kDataLoss},
      {"directory", Gzip(TarOf(kTocName, "", '5')), StatusCode::kDataLoss},
      {"wrong checksum", Gzip(bad_checksum), StatusCode::kDataLoss},
      {"cut in the content", Gzip(bad_size.substr(0, 600)), StatusCode::kDataLoss},
      {"cut in the header", Gzip(tar.substr(0, 511)), StatusCode::kDataLoss},
      {"empty member", Gzip(""), StatusCode::kDataLoss},
      {"another file behind", Gzip(tar.substr(0, 1024) + TarOf("a", "b")), StatusCode::kDataLoss},
      {"bytes behind the member", Gzip(tar) + "x", StatusCode::kDataLoss},
      {"not gzip", tar, StatusCode::kDataLoss},
      {"nothing", "", StatusCode::kDataLoss},
      {"member cut off", Gzip(tar).substr(0, 60), StatusCode::kDataLoss},
  };
  for (const auto& c : cases) {
    SCOPED_TRACE(c.name);
    EXPECT_EQ(ExtractToc(AsBytes(c.member)).status().code(), c.want);
  }
}

TEST(ExtractToc, HonoursItsLimits) {
  const std::string member = TocMember(std::string(1'000'000, ' '));
  EXPECT_TRUE(ExtractToc(AsBytes(member), {.json_bytes = 1'000'000}).ok());
  EXPECT_EQ(ExtractToc(AsBytes(member), {.json_bytes = 999'999}).status().code(),
            StatusCode::kResourceExhausted);
  EXPECT_EQ(ExtractToc(AsBytes(member), {.json_bytes = 1000}).status().code(),
            StatusCode::kResourceExhausted);
  EXPECT_EQ(ExtractToc(AsBytes(member), {.compressed_bytes = member.size() - 1}).status().code(),
            StatusCode::kResourceExhausted);
}

TEST(ExtractZstdToc, YieldsTheJsonAndItsDigest) {
  const std::string json = TocDocument({R"({"name":"a","type":"dir"})"});
  const StatusOr<TocJson> toc = ExtractZstdToc(AsBytes(Zstd(json)), json.size());
  ASSERT_TRUE(toc.ok()) << toc.status();
  EXPECT_EQ(AsText(toc->json), json);
  EXPECT_EQ(toc->digest, oci::Digest::Of(AsBytes(json)));
  EXPECT_EQ(Toc::Parse(*toc)->entries().size(), 1U);
}

TEST(ExtractZstdToc, RefusesWhatIsNotAsTheFooterSays) {
  const std::string json(100'000, ' ');
  const std::string frame = Zstd(json);
  const struct {
    std::string_view name;
    std::string frames;
    uint64_t json_bytes;
    TocLimits limits;
    StatusCode want;
  } cases[] = {
      {"as it says", frame, 100'000, {}, StatusCode::kOk},
      {"at the limit", frame, 100'000, {.json_bytes = 100'000}, StatusCode::kOk},
      {"too large", frame, 100'000, {.json_bytes = 99'999}, StatusCode::kResourceExhausted},
      {"compressed too large",
       frame,
       100'000,
       {.compressed_bytes = frame.size() - 1},
       StatusCode::kResourceExhausted},
      {"more than it says", frame, 99'999, {}, StatusCode::kDataLoss},
      {"less than it says", frame, 100'001, {}, StatusCode::kDataLoss},
      {"a claim that nothing can hold", "x", 400 << 20, {}, StatusCode::kDataLoss},
      {"cut off", frame.substr(0, frame.size() - 1), 100'000, {}, StatusCode::kDataLoss},
      {"bytes behind it", frame + "x", 100'000, {}, StatusCode::kDataLoss},
      {"gzip", Gzip(json), 100'000, {}, StatusCode::kDataLoss},
  };
  for (const auto& c : cases) {
    SCOPED_TRACE(c.name);
    EXPECT_EQ(ExtractZstdToc(AsBytes(c.frames), c.json_bytes, c.limits).status().code(), c.want);
  }
}

TEST(ParseToc, ReadsEveryField) {
  const StatusOr<Toc> toc = ParseEntry(
      R"({"name":"a\/\u00e9","type":"reg","size":10,"modtime":"1970-01-01T00:01:00Z",)"
      R"("linkName":"l","mode":2541,"uid":7,"gid":8,"userName":"u","groupName":"g","offset":100,)"
      R"("innerOffset":200,"devMajor":3,"devMinor":4,"NumLink":5,"digest":")" +
      FakeDigest('1') + R"(","chunkOffset":6,"chunkSize":9,"chunkDigest":")" + FakeDigest('2') +
      R"(","xattrs":{"user.b":"AAE=","user.a":""},"unknown":[{"x":[1,2]}]})");
  ASSERT_TRUE(toc.ok()) << toc.status();
  ASSERT_EQ(toc->entries().size(), 1U);
  const TocEntry& entry = toc->entries()[0];
  EXPECT_EQ(entry.name, "a/\xc3\xa9");
  EXPECT_EQ(entry.type, EntryType::kRegular);
  EXPECT_EQ(entry.size_bytes, 10U);
  EXPECT_EQ(entry.modified_seconds, 60);
  EXPECT_EQ(entry.link_name, "l");
  EXPECT_EQ(entry.mode, 04755U);
  EXPECT_EQ(entry.uid, 7U);
  EXPECT_EQ(entry.gid, 8U);
  EXPECT_EQ(entry.blob_offset, 100U);
  EXPECT_EQ(entry.inner_offset, 200U);
  EXPECT_EQ(entry.device_major, 3U);
  EXPECT_EQ(entry.device_minor, 4U);
  EXPECT_EQ(entry.digest.ToString(), FakeDigest('1'));
  EXPECT_EQ(entry.chunk_offset, 6U);
  EXPECT_EQ(entry.chunk_size_bytes, 9U);
  EXPECT_EQ(entry.chunk_digest.ToString(), FakeDigest('2'));
  ASSERT_EQ(entry.xattrs.size(), 2U);
  EXPECT_EQ(entry.xattrs[0].name, "user.a");
  EXPECT_TRUE(entry.xattrs[0].value.empty());
  EXPECT_EQ(entry.xattrs[1].name, "user.b");
  EXPECT_EQ(AsText(entry.xattrs[1].value), std::string_view("\0\1", 2));
}

TEST(ParseToc, KnowsEveryType) {
  const struct {
    std::string_view text;
    EntryType want;
  } cases[] = {
      {"dir", EntryType::kDirectory},   {"reg", EntryType::kRegular},
      {"symlink", EntryType::kSymlink}, {"hardlink", EntryType::kHardlink},
      {"char", EntryType::kCharacter},  {"block", EntryType::kBlock},
      {"fifo", EntryType::kFifo},       {"chunk", EntryType::kChunk},
  };
  for (const auto& c : cases) {
    SCOPED_TRACE(c.text);
    const StatusOr<Toc> toc = ParseEntry(fmt::format(R"({{"name":"a","type":"{}"}})", c.text));
    ASSERT_TRUE(toc.ok()) << toc.status();
    EXPECT_EQ(toc->entries()[0].type, c.want);
  }
}

TEST(ParseToc, AcceptsOddDocuments) {
  const struct {
    std::string_view name;
    std::string json;
    size_t entries;
  } cases[] = {
      {"no entries", R"({"version":1,"entries":[]})", 0},
      {"null entries", R"({"version":1,"entries":null})", 0},
      {"no version", R"({"entries":[]})", 0},
      {"entries first", R"({"entries":[{"type":"dir","name":"a"}],"version":1})", 1},
      {"unknown keys", R"({"x":{"y":[1]},"entries":[],"z":null})", 0},
      {"white space", " {\n\t\"entries\" : [ ] } \n", 0},
      {"escaped key", "{\"entri\\u0065s\":[{\"typ\\u0065\":\"dir\"}]}", 1},
  };
  for (const auto& c : cases) {
    SCOPED_TRACE(c.name);
    const StatusOr<Toc> toc = Toc::Parse(AsBytes(c.json));
    ASSERT_TRUE(toc.ok()) << toc.status();
    EXPECT_EQ(toc->entries().size(), c.entries);
  }
}

TEST(ParseToc, RefusesBrokenDocuments) {
  const std::string_view cases[] = {
      "",
      " ",
      "{",
      "[]",
      "null",
      "1",
      R"("x")",
      R"({"version":1})",
      R"({"entries":{}})",
      R"({"entries":1})",
      R"({"entries":[1]})",
      R"({"entries":[null]})",
      R"({"entries":[)",
      R"({"entries":[{"type":"dir"}})",
      R"({"entries":[{"type":"dir"]})",
      R"({"entries":[{"type":"dir"} {"type":"dir"}]})",
      R"({"entries":[]}x)",
      R"({"entries":[]}{})",
      R"({"entries":[]},)",
      R"({"entries":[],"entries":[]})",
      R"({"version":2,"entries":[]})",
      R"({"version":"1","entries":[]})",
      R"({"version":-1,"entries":[]})",
      "{\"entries\":[{\"type\":\"dir\",\"name\":\"\xff\"}]}",
  };
  for (const std::string_view json : cases) {
    SCOPED_TRACE(json);
    EXPECT_EQ(Toc::Parse(AsBytes(json)).status().code(), StatusCode::kDataLoss);
  }
}

TEST(ParseToc, JudgesValuesOneByOne) {
  const std::string digest = FakeDigest('a');
  const struct {
    std::string field;
    StatusCode want;
  } cases[] = {
      {R"("name":1)", StatusCode::kDataLoss},
      {R"("name":null)", StatusCode::kOk},
      {R"("name":"a\u0000b")", StatusCode::kDataLoss},
      {R"("name":["a"])", StatusCode::kDataLoss},
      {R"("name":"\ud800")", StatusCode::kDataLoss},
      {R"("name":"\udc00")", StatusCode::kDataLoss},
      {R"("name":"\udc80")", StatusCode::kDataLoss},
      {R"("nameBase64":"/w==")", StatusCode::kOk},
      {R"("nameBase64":"*")", StatusCode::kDataLoss},
      {R"("nameBase64":"YQ==")", StatusCode::kDataLoss},
      {R"("linkNameBase64":"/wA=")", StatusCode::kDataLoss},
      {R"("type":"socket")", StatusCode::kDataLoss},
      {R"("type":"")", StatusCode::kDataLoss},
      {R"("type":null)", StatusCode::kDataLoss},
      {R"("type":7)", StatusCode::kDataLoss},
      {R"("size":-1)", StatusCode::kDataLoss},
      {R"("size":1.5)", StatusCode::kDataLoss},
      {R"("size":1e3)", StatusCode::kDataLoss},
      {R"("size":"1")", StatusCode::kDataLoss},
      {R"("size":9223372036854775807)", StatusCode::kOk},
      {R"("size":9223372036854775808)", StatusCode::kDataLoss},
      {R"("size":99999999999999999999)", StatusCode::kDataLoss},
      {R"("size":null)", StatusCode::kOk},
      {R"("size":true)", StatusCode::kDataLoss},
      {R"("offset":-1)", StatusCode::kDataLoss},
      {R"("innerOffset":-1)", StatusCode::kDataLoss},
      {R"("chunkOffset":-1)", StatusCode::kDataLoss},
      {R"("chunkSize":-1)", StatusCode::kDataLoss},
      {R"("mode":-1)", StatusCode::kDataLoss},
      {R"("mode":33188)", StatusCode::kOk},
      {R"("uid":-1)", StatusCode::kDataLoss},
      {R"("uid":4294967294)", StatusCode::kOk},
      {R"("uid":4294967295)", StatusCode::kDataLoss},
      {R"("gid":4294967296)", StatusCode::kDataLoss},
      {R"("devMajor":4095)", StatusCode::kOk},
      {R"("devMajor":4096)", StatusCode::kDataLoss},
      {R"("devMinor":1048575)", StatusCode::kOk},
      {R"("devMinor":1048576)", StatusCode::kDataLoss},
      {R"("devMinor":-1)", StatusCode::kDataLoss},
      {R"("modtime":"")", StatusCode::kOk},
      {R"("modtime":"yesterday")", StatusCode::kDataLoss},
      {R"("modtime":0)", StatusCode::kDataLoss},
      {R"("digest":")" + digest + R"(")", StatusCode::kOk},
      {R"("digest":"")", StatusCode::kOk},
      {R"("digest":"sha256:a")", StatusCode::kDataLoss},
      {R"("digest":"sha512:)" + std::string(128, 'a') + R"(")", StatusCode::kDataLoss},
      {R"("digest":")" + FakeDigest('A') + R"(")", StatusCode::kDataLoss},
      {R"("digest":")" + FakeDigest('g') + R"(")", StatusCode::kDataLoss},
      {R"("digest":")" + FakeDigest('0') + R"(")", StatusCode::kDataLoss},
      {R"("chunkDigest":"x")", StatusCode::kDataLoss},
      {R"("chunkType":"")", StatusCode::kOk},
      {R"("chunkType":null)", StatusCode::kOk},
      {R"("chunkType":"zeros")", StatusCode::kOk},
      {R"("chunkType":"Zeros")", StatusCode::kDataLoss},
      {R"("chunkType":1)", StatusCode::kDataLoss},
      {R"("xattrs":null)", StatusCode::kOk},
      {R"("xattrs":{"user.a":null})", StatusCode::kOk},
      {R"("xattrs":[])", StatusCode::kDataLoss},
      {R"("xattrs":{"user.a":"*"})", StatusCode::kDataLoss},
      {R"("xattrs":{"user.a":1})", StatusCode::kDataLoss},
      {R"("xattrs":{"":"AA=="})", StatusCode::kDataLoss},
      {R"("xattrs":{"user.\u0000":"AA=="})", StatusCode::kDataLoss},
  };
  for (const auto& c : cases) {
    SCOPED_TRACE(c.field);
    EXPECT_EQ(ParseEntry(R"({"type":"dir",)" + c.field + "}").status().code(), c.want);
  }
}

TEST(ParseToc, ReadsTheDialectOfContainersStorage) {
  // Keys in the order of its writer; of those that are not ours nothing is kept.
  const StatusOr<Toc> toc = Toc::Parse(
      AsBytes(R"({"version":1,"entries":[{"type":"reg","name":"./f","mode":420,"size":9,)"
              R"("modtime":"2026-11-24T14:37:10.211697066Z","accesstime":"2026-11-24T14:37:10.2Z",)"
              R"("changetime":"2026-11-24T14:37:10.2Z",)" +
              testing_support::DigestField() +
              R"(,"offset":340,"endOffset":380,"chunkSize":4,"chunkDigest":")" + FakeDigest('2') +
              R"("},{"type":"chunk","name":"./f","offset":360,"chunkSize":5,"chunkOffset":4,)"
              R"("chunkDigest":")" +
              FakeDigest('3') + R"(","chunkType":"zeros"}],"tarSplitDigest":")" + FakeDigest('4') +
              R"("})"));
  ASSERT_TRUE(toc.ok()) << toc.status();
  ASSERT_EQ(toc->entries().size(), 2U);
  EXPECT_EQ(toc->entries()[0].modified_seconds, 1795531030) << "whole seconds";
  EXPECT_EQ(toc->entries()[0].chunk_size_bytes, 4U);
  EXPECT_FALSE(toc->entries()[0].is_zeros);
  EXPECT_TRUE(toc->entries()[1].is_zeros);
}

TEST(ParseToc, CountsTheLastOfARepeatedKey) {
  const StatusOr<Toc> toc =
      ParseEntry(R"({"type":"reg","name":"a","name":"b","type":"dir","uid":1,"uid":null,)"
                 R"("xattrs":{"user.a":"AA==","user.a":"AQ=="}})");
  ASSERT_TRUE(toc.ok()) << toc.status();
  EXPECT_EQ(toc->entries()[0].name, "b");
  EXPECT_EQ(toc->entries()[0].type, EntryType::kDirectory);
  EXPECT_EQ(toc->entries()[0].uid, 1U) << "null is as good as absent";
  ASSERT_EQ(toc->entries()[0].xattrs.size(), 1U);
  EXPECT_EQ(AsText(toc->entries()[0].xattrs[0].value), "\1");
}

TEST(ParseToc, PrefersTheBytesOfNamesOutsideUtf8) {
  const StatusOr<Toc> toc = Toc::Parse(AsBytes(
      TocDocument({R"({"nameBase64":"Yf8=","type":"symlink","name":"a\ufffd","linkName":"\ufffd",)"
                   R"("linkNameBase64":"5A=="})",
                   R"({"type":"symlink","name":"b","linkName":"c"})"})));
  ASSERT_TRUE(toc.ok()) << toc.status();
  EXPECT_EQ(toc->entries()[0].name, "a\xff");
  EXPECT_EQ(toc->entries()[0].link_name, "\xe4");
  EXPECT_EQ(toc->entries()[1].name, "b");
  EXPECT_EQ(toc->entries()[1].link_name, "c");
}

TEST(ParseToc, HonoursItsLimits) {
  const std::string two =
      TocDocument({R"({"type":"dir","name":"a"})", R"({"type":"dir","name":"abcd"})"});
  EXPECT_TRUE(Toc::Parse(AsBytes(two), {.entries = 2}).ok());
  EXPECT_EQ(Toc::Parse(AsBytes(two), {.entries = 1}).status().code(),
            StatusCode::kResourceExhausted);
  EXPECT_EQ(Toc::Parse(AsBytes(two), {.json_bytes = two.size() - 1}).status().code(),
            StatusCode::kResourceExhausted);
  EXPECT_EQ(Toc::Parse(AsBytes(two), {.name_bytes = 3}).status().code(),
            StatusCode::kResourceExhausted);
  const std::string xattrs =
      TocDocument({R"({"type":"dir","xattrs":{"user.a":"AAAA","user.b":""}})"});
  EXPECT_TRUE(Toc::Parse(AsBytes(xattrs),
                         {.xattr_name_bytes = 6, .xattr_value_bytes = 3, .xattrs_per_inode = 2})
                  .ok());
  EXPECT_EQ(Toc::Parse(AsBytes(xattrs), {.xattr_name_bytes = 5}).status().code(),
            StatusCode::kResourceExhausted);
  EXPECT_EQ(Toc::Parse(AsBytes(xattrs), {.xattr_value_bytes = 2}).status().code(),
            StatusCode::kResourceExhausted);
  EXPECT_EQ(Toc::Parse(AsBytes(xattrs), {.xattrs_per_inode = 1}).status().code(),
            StatusCode::kResourceExhausted);
}

TEST(ParseToc, NamesTheEntryAndTheKey) {
  const Status status =
      Toc::Parse(AsBytes(TocDocument({R"({"type":"dir"})", R"({"type":"dir","uid":-5})"})))
          .status();
  EXPECT_NE(MessageOf(status).find("entry 1: uid"), std::string_view::npos) << status;
}

TEST(ParseToc, OutlivesItsInput) {
  StatusOr<Toc> toc = [] {
    const std::string json = TocDocument({R"({"type":"dir","name":"some name of a directory"})"});
    return Toc::Parse(AsBytes(json));
  }();
  ASSERT_TRUE(toc.ok());
  const Toc copy = *toc;
  *toc = Toc();
  EXPECT_EQ(copy.entries()[0].name, "some name of a directory");
}

TEST(ParseToc, SurvivesDeepJson) {
  const std::string deep =
      R"({"x":)" + std::string(100'000, '[') + std::string(100'000, ']') + R"(,"entries":[]})";
  // Either verdict is fine; running out of stack is not.
  const StatusCode code = Toc::Parse(AsBytes(deep)).status().code();
  EXPECT_TRUE(code == StatusCode::kOk || code == StatusCode::kDataLoss);
}

TEST(Toc, JoinMembersCountsFromTheStartOfTheTar) {
  constexpr std::string_view kJson = R"({"version":1,"entries":[
    {"name":"d","type":"dir"},
    {"name":"a","type":"reg","size":10,"offset":5,"innerOffset":512,"chunkSize":6},
    {"name":"a","type":"chunk","offset":100,"chunkOffset":6,"chunkSize":4},
    {"name":"b","type":"reg","size":1,"offset":100,"innerOffset":1024}]})";
  auto toc = Toc::Parse(AsBytes(kJson));
  ASSERT_TRUE(toc.ok()) << toc.status();
  toc->JoinMembers([](uint64_t blob_offset) { return blob_offset * 1000; });
  const uint64_t want[] = {0, 5512, 100'000, 101'024};
  for (size_t i = 0; i < 4; ++i) {
    EXPECT_EQ(toc->entries()[i].blob_offset, 0U);
    EXPECT_EQ(toc->entries()[i].inner_offset, want[i]) << i;
  }
}

}  // namespace
}  // namespace starling::estargz
