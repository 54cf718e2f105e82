#include "estargz/toc_writer.h"

#include <gtest/gtest.h>

#include <nlohmann/json.hpp>

namespace starling::estargz {
namespace {

using Json = nlohmann::json;

Json EntriesOf(TocWriter& writer) {
  const StatusOr<std::string> text = writer.Finish();
  EXPECT_TRUE(text.ok());
  const Json toc = Json::parse(*text, nullptr, /*allow_exceptions=*/false);
  EXPECT_EQ(toc.value("version", 0), 1);
  return toc.value("entries", Json());
}

TEST(CleanName, IsRelativeToTheRoot) {
  const struct {
    std::string_view name;
    std::string_view want;
  } cases[] = {{"a", "a"},
               {"./a", "a"},
               {"/a/", "a"},
               {"../a", "a"},
               {"a//b/./c", "a/b/c"},
               {"a/../b", "b"},
               {"a/b/../c", "a/c"},
               {"../../x/..", ""},
               {".", ""},
               {"/", ""},
               {"", ""},
               {"..a/b..", "..a/b.."}};
  for (const auto& c : cases) {
    EXPECT_EQ(CleanName(c.name), c.want) << c.name;
  }
}

TEST(TocWriter, WritesTheFieldsOfEachType) {
  TocWriter writer;
  const Bytes value = ToBytes(std::string_view("\0\xff", 2));
  ASSERT_TRUE(writer
                  .AddEntry({.name = "./d",
                             .type = TarType::kDirectory,
                             .mode = 0755,
                             .modified_seconds = 951'782'400,
                             .user_name = "root",
                             .xattrs = {{"user.k", value}}})
                  .ok());
  ASSERT_TRUE(writer
                  .AddEntry({.name = "s",
                             .type = TarType::kSymlink,
                             .link_name = "../keep//this",
                             .user_name = "root"})
                  .ok());
  ASSERT_TRUE(
      writer.AddEntry({.name = "h", .type = TarType::kHardlink, .link_name = "./d//f"}).ok());
  ASSERT_TRUE(writer
                  .AddEntry({.name = "c",
                             .type = TarType::kCharacter,
                             .uid = 5,
                             .user_name = "five",
                             .device_major = 1,
                             .device_minor = 3})
                  .ok());
  EXPECT_EQ(EntriesOf(writer), Json::parse(R"([
    {"type":"dir","name":"d/","mode":493,"modtime":"2000-02-29T00:00:00Z","userName":"root",
     "xattrs":{"user.k":"AP8="}},
    {"type":"symlink","name":"s","linkName":"../keep//this"},
    {"type":"hardlink","name":"h","linkName":"d/f"},
    {"type":"char","name":"c","uid":5,"userName":"five","devMajor":1,"devMinor":3}])"));
}

TEST(TocWriter, WritesChunks) {
  const oci::Digest whole = oci::Digest::Of(AsBytes("whole"));
  const oci::Digest part = oci::Digest::Of(AsBytes("part"));
  TocWriter writer;
  ASSERT_TRUE(writer
                  .AddFile({.name = "f", .size_bytes = 7}, whole,
                           {{.file_offset = 0, .size_bytes = 4, .blob_offset = 10, .digest = part},
                            {.file_offset = 4, .size_bytes = 3, .blob_offset = 90, .digest = part}})
                  .ok());
  ASSERT_TRUE(
      writer
          .AddFile({.name = "g", .size_bytes = 7}, whole,
                   {{.size_bytes = 7, .blob_offset = 90, .inner_offset = 5, .digest = whole}})
          .ok());
  const Json entries = EntriesOf(writer);
  ASSERT_EQ(entries.size(), 3U);
  EXPECT_EQ(entries[0], (Json{{"type", "reg"},
                              {"name", "f"},
                              {"size", 7},
                              {"digest", whole.ToString()},
                              {"offset", 10},
                              {"chunkSize", 4},
                              {"chunkDigest", part.ToString()}}));
  EXPECT_EQ(entries[1], (Json{{"type", "chunk"},
                              {"name", "f"},
                              {"chunkOffset", 4},
                              {"offset", 90},
                              {"chunkSize", 3},
                              {"chunkDigest", part.ToString()}}));
  EXPECT_EQ(entries[2].value("innerOffset", 0), 5);
}

TEST(TocWriter, WritesForContainersWhatTheHeadersSay) {
  TocWriter writer(TocDialect::kContainers);
  ASSERT_TRUE(writer
                  .AddEntry({.name = "./d",
                             .type = TarType::kDirectory,
                             .mode = 0755,
                             .mode_field = 040755,
                             .modified_seconds = 951'782'400,
                             .modified_nanoseconds = 250'000'000,
                             .accessed = TarTime{1, 5},
                             .changed = TarTime{}})
                  .ok());
  ASSERT_TRUE(
      writer.AddEntry({.name = "h", .type = TarType::kHardlink, .link_name = "./d//f"}).ok());
  ASSERT_TRUE(writer.AddEntry({.name = "./empty"}).ok());
  const oci::Digest whole = oci::Digest::Of(AsBytes("whole"));
  const oci::Digest part = oci::Digest::Of(AsBytes("part"));
  ASSERT_TRUE(writer
                  .AddFile({.name = "./f", .size_bytes = 7}, whole,
                           {{.size_bytes = 7, .blob_offset = 9, .blob_end = 19, .digest = whole}})
                  .ok());
  ASSERT_TRUE(writer
                  .AddFile({.name = "./g", .size_bytes = 7}, whole,
                           {{.size_bytes = 4, .blob_offset = 20, .blob_end = 30, .digest = part},
                            {.file_offset = 4,
                             .size_bytes = 3,
                             .blob_offset = 30,
                             .blob_end = 35,
                             .digest = part,
                             .is_zeros = true}})
                  .ok());
  const StatusOr<std::string> text = writer.Finish(part);
  ASSERT_TRUE(text.ok());
  const Json toc = Json::parse(*text, nullptr, /*allow_exceptions=*/false);
  EXPECT_EQ(toc.value("tarSplitDigest", ""), part.ToString());
  const std::string w = whole.ToString();
  const std::string p = part.ToString();
  EXPECT_EQ(toc["entries"], (Json{{{"type", "dir"},
                                   {"name", "./d"},
                                   {"mode", 040755},
                                   {"modtime", "2000-02-29T00:00:00.25Z"},
                                   {"accesstime", "1970-01-01T00:00:01.000000005Z"}},
                                  {{"type", "hardlink"}, {"name", "h"}, {"linkName", "./d//f"}},
                                  {{"type", "reg"}, {"name", "./empty"}},
                                  {{"type", "reg"},
                                   {"name", "./f"},
                                   {"size", 7},
                                   {"digest", w},
                                   {"offset", 9},
                                   {"endOffset", 19}},
                                  {{"type", "reg"},
                                   {"name", "./g"},
                                   {"size", 7},
                                   {"digest", w},
                                   {"offset", 20},
                                   {"endOffset", 35},
                                   {"chunkSize", 4},
                                   {"chunkDigest", p}},
                                  {{"type", "chunk"},
                                   {"name", "./g"},
                                   {"chunkOffset", 4},
                                   {"offset", 30},
                                   {"chunkSize", 3},
                                   {"chunkDigest", p},
                                   {"chunkType", "zeros"}}}));
}

TEST(TocWriter, KeepsTheBytesOfNamesThatAreNotUtf8) {
  TocWriter writer;
  ASSERT_TRUE(writer.AddEntry({.name = "a\xff\"\n", .type = TarType::kFifo}).ok());
  const Json entries = EntriesOf(writer);
  EXPECT_EQ(entries[0].value("name", ""), "a\xef\xbf\xbd\"\n");
  EXPECT_EQ(entries[0].value("nameBase64", ""), "Yf8iCg==");
}

TEST(TocWriter, KeepsTimesWithinFourDigitsOfYear) {
  const struct {
    int64_t seconds;
    std::string_view want;
  } cases[] = {{-1, "1969-12-31T23:59:59Z"},
               {253'402'300'799, "9999-12-31T23:59:59Z"},
               {INT64_MAX, "9999-12-31T23:59:59Z"},
               {INT64_MIN, "0000-01-01T00:00:00Z"}};
  for (const auto& c : cases) {
    TocWriter writer;
    ASSERT_TRUE(
        writer.AddEntry({.name = "a", .type = TarType::kFifo, .modified_seconds = c.seconds}).ok());
    EXPECT_EQ(EntriesOf(writer)[0].value("modtime", ""), c.want);
  }
}

}  // namespace
}  // namespace starling::estargz
