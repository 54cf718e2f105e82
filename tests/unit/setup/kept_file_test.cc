#include "setup/kept_file.h"

#include <gtest/gtest.h>
#include <sys/stat.h>

#include <fstream>

#include "base/temp_dir.h"
#include "tests/support/read_whole.h"

namespace starling::setup {
namespace {

class KeptFileTest : public testing::Test {
 protected:
  std::filesystem::path Path(const std::string& name) const { return directory_.path() / name; }
  void Put(const std::filesystem::path& path, const std::string& text) {
    std::ofstream(path, std::ios::binary) << text;
  }
  static std::string Get(const std::filesystem::path& path) {
    return testing_support::ReadWhole(path);
  }
  std::vector<std::string> Names() const {
    std::vector<std::string> names;
    for (const auto& entry : std::filesystem::recursive_directory_iterator(directory_.path())) {
      names.push_back(entry.path().filename().string());
    }
    std::ranges::sort(names);
    return names;
  }
  static mode_t ModeOf(const std::filesystem::path& path) {
    struct stat attributes{};
    EXPECT_EQ(::lstat(path.c_str(), &attributes), 0);
    return attributes.st_mode & 07777;
  }

  TempDir directory_ = *TempDir::Make("/tmp", "kept-");
};

// No text and no line ends are special.
constexpr char kText[] = "version = 2\r\n\0\xff\n# no end";
const std::string kBytes(kText, sizeof(kText) - 1);

TEST_F(KeptFileTest, RestoresByteForByteWithItsPermissions) {
  const auto path = Path("config.toml");
  Put(path, kBytes);
  ASSERT_EQ(::chmod(path.c_str(), 0640), 0);
  KeptFile kept(RealFileSystem(), path, "containerd");
  EXPECT_FALSE(kept.is_kept());
  ASSERT_TRUE(kept.Write("new\n").ok());
  EXPECT_TRUE(kept.is_kept());
  EXPECT_EQ(Get(path), "new\n");
  EXPECT_EQ(ModeOf(path), 0640U);
  EXPECT_EQ(Get(kept.backup()), kBytes);
  EXPECT_EQ(ModeOf(kept.backup()), 0640U);
  ASSERT_TRUE(kept.Restore().ok());
  EXPECT_EQ(Get(path), kBytes);
  EXPECT_EQ(ModeOf(path), 0640U);
  EXPECT_EQ(Names(), std::vector<std::string>{"config.toml"});
  EXPECT_EQ(kept.Restore().code(), StatusCode::kNotFound);
}

TEST_F(KeptFileTest, ANewFileGoesAgainWithTheDirectoriesThatWereMade) {
  KeptFile kept(RealFileSystem(), Path("a/b/nerdctl.toml"), "nerdctl");
  ASSERT_TRUE(kept.Write("new\n").ok());
  EXPECT_EQ(Get(Path("a/b/nerdctl.toml")), "new\n");
  EXPECT_EQ(ModeOf(Path("a/b/nerdctl.toml")), 0644U);
  ASSERT_TRUE(kept.Restore().ok());
  EXPECT_TRUE(Names().empty());
}

TEST_F(KeptFileTest, ADirectoryThatIsUsedStays) {
  KeptFile kept(RealFileSystem(), Path("a/config.toml"), "containerd");
  ASSERT_TRUE(kept.Write("new\n").ok());
  Put(Path("a/other"), "x");
  ASSERT_TRUE(kept.Restore().ok());
  EXPECT_EQ(Names(), (std::vector<std::string>{"a", "other"}));
}

TEST_F(KeptFileTest, RefusesToRestoreOverAChangeAndNamesTheFile) {
  const auto path = Path("config.toml");
  Put(path, "old\n");
  KeptFile kept(RealFileSystem(), path, "containerd");
  ASSERT_TRUE(kept.Write("new\n").ok());
  Put(path, "new\nand more\n");
  for (const Status& refused : {kept.Restore(), kept.Write("again\n")}) {
    EXPECT_EQ(refused.code(), StatusCode::kFailedPrecondition);
    EXPECT_NE(MessageOf(refused).find(path.native()), std::string_view::npos) << refused;
    EXPECT_NE(MessageOf(refused).find(kept.backup().native()), std::string_view::npos) << refused;
  }
  EXPECT_EQ(Get(path), "new\nand more\n");
  EXPECT_EQ(Get(kept.backup()), "old\n");
  // Taken back, it is ours again.
  Put(path, "new\n");
  ASSERT_TRUE(kept.Restore().ok());
  EXPECT_EQ(Get(path), "old\n");
}

TEST_F(KeptFileTest, TheFirstStateIsKeptOverSeveralWrites) {
  const auto path = Path("config.toml");
  Put(path, "old\n");
  KeptFile kept(RealFileSystem(), path, "containerd");
  ASSERT_TRUE(kept.Write("one\n").ok());
  ASSERT_TRUE(kept.Write("two\n").ok());
  ASSERT_TRUE(kept.Restore().ok());
  EXPECT_EQ(Get(path), "old\n");
}

TEST_F(KeptFileTest, TwoPurposesAreUndoneLastFirst) {
  const auto path = Path("config.toml");
  Put(path, "old\n");
  KeptFile first(RealFileSystem(), path, "containerd");
  KeptFile second(RealFileSystem(), path, "cri");
  ASSERT_TRUE(first.Write("one\n").ok());
  ASSERT_TRUE(second.Write("one\ntwo\n").ok());
  const Status refused = first.Restore();
  EXPECT_EQ(refused.code(), StatusCode::kFailedPrecondition);
  EXPECT_NE(MessageOf(refused).find("by cri? Undo that first"), std::string_view::npos) << refused;
  ASSERT_TRUE(second.Restore().ok());
  ASSERT_TRUE(first.Restore().ok());
  EXPECT_EQ(Get(path), "old\n");
  EXPECT_EQ(Names(), std::vector<std::string>{"config.toml"});
}

TEST_F(KeptFileTest, AWriteThatWasInterruptedCanBeRestored) {
  const auto path = Path("config.toml");
  Put(path, "old\n");
  KeptFile kept(RealFileSystem(), path, "containerd");
  ASSERT_TRUE(kept.Write("new\n").ok());
  Put(path, "old\n");  // as if the last step had not happened
  ASSERT_TRUE(kept.Restore().ok());
  EXPECT_EQ(Get(path), "old\n");
}

TEST_F(KeptFileTest, ABackupThatWasChangedIsNotPutBack) {
  const auto path = Path("config.toml");
  Put(path, "old\n");
  KeptFile kept(RealFileSystem(), path, "containerd");
  ASSERT_TRUE(kept.Write("new\n").ok());
  Put(kept.backup(), "else\n");
  EXPECT_EQ(kept.Restore().code(), StatusCode::kDataLoss);
  EXPECT_EQ(Get(path), "new\n");
}

TEST_F(KeptFileTest, ARecordOfSomebodyElseIsRefused) {
  const auto path = Path("config.toml");
  Put(path, "old\n");
  KeptFile kept(RealFileSystem(), path, "containerd");
  for (const char* text : {"", "[]", "{\"version\":2}", "{\"version\":1,\"existed\":3}",
                           "{\"version\":1,\"existed\":true,\"before\":\"\",\"written\":[1]}"}) {
    Put(kept.backup().string() + ".json", text);
    EXPECT_EQ(kept.Restore().code(), StatusCode::kDataLoss) << text;
    EXPECT_EQ(kept.Write("new\n").code(), StatusCode::kDataLoss) << text;
  }
  EXPECT_EQ(Get(path), "old\n");
}

TEST_F(KeptFileTest, ALinkStaysALink) {
  Put(Path("real.toml"), "old\n");
  std::filesystem::create_symlink("real.toml", Path("config.toml"));
  KeptFile kept(RealFileSystem(), Path("config.toml"), "containerd");
  ASSERT_TRUE(kept.Write("new\n").ok());
  EXPECT_TRUE(std::filesystem::is_symlink(Path("config.toml")));
  EXPECT_EQ(Get(Path("real.toml")), "new\n");
  ASSERT_TRUE(kept.Restore().ok());
  EXPECT_EQ(Get(Path("real.toml")), "old\n");
}

}  // namespace
}  // namespace starling::setup
