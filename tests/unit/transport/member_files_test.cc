#include "transport/member_files.h"

#include <gtest/gtest.h>
#include <zlib.h>

#include <fstream>

#include "base/temp_dir.h"
#include "tests/support/tar_text.h"

namespace starling::transport {
namespace {

using testing_support::TarEnd;
using testing_support::TarText;

class TarFilesTest : public ::testing::Test {
 protected:
  std::filesystem::path Write(std::string_view content) {
    const auto path = dir_.path() / "a.tar";
    std::ofstream(path, std::ios::binary | std::ios::trunc) << content;
    return path;
  }
  std::filesystem::path WriteGzip(const std::string& content) {
    const auto path = dir_.path() / "a.tar.gz";
    gzFile file = gzopen(path.c_str(), "wb");
    gzwrite(file, content.data(), static_cast<unsigned>(content.size()));
    gzclose(file);
    return path;
  }
  TempDir dir_ = *TempDir::Make(std::filesystem::temp_directory_path(), "member-");
};

std::string ContentOf(const MemberFiles& files, const std::string& name) {
  const auto extent = files.Find(name);
  return extent.ok() ? std::string(AsText(*ReadExtent(*extent, 1 << 20)))
                     : Describe(extent.status());
}

const std::string kGood =
    TarText({.name = "./dir/", .type = '5'}) + TarText({.name = "./dir/a", .content = "alpha"}) +
    TarText({.name = "dir/b", .content = std::string(1000, 'b')}) + TarText({.name = "empty"}) +
    TarText({.name = "link", .type = '2', .target = "dir/a"}) +
    TarText({.name = "dir/up", .type = '2', .target = "../empty"}) +
    TarText({.name = "dangling", .type = '2', .target = "none"}) +
    TarText({.name = "last", .content = std::string(512, 'z')}) + TarEnd();

TEST_F(TarFilesTest, ReadsMembersInPlace) {
  const auto path = Write(kGood);
  const auto files = TarFiles::Open(path);
  ASSERT_TRUE(files.ok()) << files.status();
  EXPECT_EQ(ContentOf(**files, "dir/a"), "alpha");
  EXPECT_EQ(ContentOf(**files, "dir/b"), std::string(1000, 'b'));
  EXPECT_EQ(ContentOf(**files, "empty"), "");
  EXPECT_EQ(ContentOf(**files, "link"), "alpha");
  EXPECT_EQ(ContentOf(**files, "dir/up"), "");
  EXPECT_EQ(ContentOf(**files, "last"), std::string(512, 'z'));
  EXPECT_EQ((*files)->Find("dangling").status().code(), StatusCode::kNotFound);
  EXPECT_EQ((*files)->Find("dir").status().code(), StatusCode::kNotFound);
  // In place: the second header follows 512 bytes of the first.
  EXPECT_EQ((*files)->Find("dir/a")->file_offset, 1024U);
}

TEST_F(TarFilesTest, FindsContentAfterExtensionHeaders) {
  const std::string record = "29 path=renamed-by-pax-header\n";
  ASSERT_EQ(record.size(), 30U);
  const std::string tar = TarText({.name = "x", .content = "30" + record.substr(2), .type = 'x'}) +
                          TarText({.name = "short", .content = "content"}) + TarEnd();
  const auto files = TarFiles::Open(Write(tar));
  ASSERT_TRUE(files.ok()) << files.status();
  EXPECT_EQ(ContentOf(**files, "renamed-by-pax-header"), "content");
}

TEST_F(TarFilesTest, UnpacksCompressedOnes) {
  const auto files = TarFiles::Open(WriteGzip(kGood));
  ASSERT_TRUE(files.ok()) << files.status();
  EXPECT_EQ(ContentOf(**files, "dir/a"), "alpha");
  EXPECT_EQ(ContentOf(**files, "dir/b"), std::string(1000, 'b'));
  EXPECT_EQ(ContentOf(**files, "link"), "alpha");
  EXPECT_EQ(ContentOf(**files, "last"), std::string(512, 'z'));
}

TEST_F(TarFilesTest, TakesTheLastOfANameTwice) {
  const auto files = TarFiles::Open(Write(TarText({.name = "a", .content = "old"}) +
                                          TarText({.name = "a", .content = "new"}) + TarEnd()));
  ASSERT_TRUE(files.ok()) << files.status();
  EXPECT_EQ(ContentOf(**files, "a"), "new");
}

TEST_F(TarFilesTest, RefusesHostileOnes) {
  const struct {
    std::string_view name;
    std::string tar;
  } cases[] = {
      {"not a tar", std::string(2000, 'x')},
      {"empty file", ""},
      {"leads out", TarText({.name = "../a", .content = "x"}) + TarEnd()},
      {"leads out and back", TarText({.name = "a/../b", .content = "x"}) + TarEnd()},
      {"absolute", TarText({.name = "/etc/passwd", .content = "x"}) + TarEnd()},
      {"link out", TarText({.name = "a", .type = '2', .target = "../../etc/passwd"}) + TarEnd()},
      {"absolute link", TarText({.name = "a", .type = '2', .target = "/etc/passwd"}) + TarEnd()},
      {"hard link", TarText({.name = "a", .type = '1', .target = "b"}) + TarEnd()},
      {"cut short", TarText({.name = "a", .content = "x"}, 100'000)},
      {"size beyond everything", TarText({.name = "a", .content = "x"}, 077777777777)},
  };
  for (const auto& c : cases) {
    SCOPED_TRACE(c.name);
    EXPECT_EQ(TarFiles::Open(Write(c.tar)).status().code(), StatusCode::kDataLoss)
        << TarFiles::Open(Write(c.tar)).status();
    if (!c.tar.empty()) {
      EXPECT_EQ(TarFiles::Open(WriteGzip(c.tar)).status().code(), StatusCode::kDataLoss);
    }
  }
  EXPECT_EQ(TarFiles::Open(dir_.path() / "none").status().code(), StatusCode::kNotFound);
}

TEST(DirectoryFiles, FindsFilesBelow) {
  const TempDir dir = *TempDir::Make(std::filesystem::temp_directory_path(), "member-");
  std::ofstream(dir.path() / "a") << "alpha";
  const DirectoryFiles files(dir.path());
  EXPECT_EQ(ContentOf(files, "a"), "alpha");
  EXPECT_EQ(files.Find("b").status().code(), StatusCode::kNotFound);
}

}  // namespace
}  // namespace starling::transport
