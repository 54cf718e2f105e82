#include "dockerfile/files/entry_files.h"

#include <fcntl.h>
#include <gmock/gmock.h>

#include "dockerfile/files/root_walk.h"
#include "tests/unit/dockerfile/files/tree_fixture.h"

namespace starling::dockerfile::files {
namespace {

using ::testing::ElementsAre;
using ::testing::Key;

class EntryFilesTest : public TreeFixture {
 protected:
  void SetUp() override {
    TreeFixture::SetUp();
    root_ = *OpenRoot(from());
  }
  Entry EntryOf(const std::string& name) const {
    Entry entry{.directory = root_.get(), .name = name, .path = name};
    ::fstatat(root_.get(), name.c_str(), &entry.attributes, AT_SYMLINK_NOFOLLOW);
    return entry;
  }
  UniqueFd root_;
};

TEST_F(EntryFilesTest, OpensNoLinkAndWaitsForNoPipe) {
  Run("ln -s ../outside/file from/link; mkfifo from/pipe; touch from/file");
  EXPECT_FALSE(OpenEntry(EntryOf("link"), O_RDONLY).ok());
  EXPECT_TRUE(OpenEntry(EntryOf("pipe"), O_RDONLY).ok());
  EXPECT_TRUE(OpenEntry(EntryOf("file"), O_RDONLY).ok());
  EXPECT_EQ(*ReadLinkOf(EntryOf("link")), "../outside/file");
}

TEST_F(EntryFilesTest, KeepsAttributesThatMeanSomethingElsewhere) {
  Run("touch from/file; setfattr -n user.color -v blue from/file; "
      "setfattr -n user.overlay.opaque -v y from/file; setfattr -n trusted.overlay.opaque -v y "
      "from/file; setcap cap_net_raw+ep from/file");
  const auto xattrs = ReadXattrs(EntryOf("file"));
  ASSERT_TRUE(xattrs.ok()) << xattrs.status();
  EXPECT_THAT(*xattrs, ElementsAre(Key("security.capability"), Key("user.color")));
}

TEST_F(EntryFilesTest, CopiesContentAndItsHoles) {
  Run("head -c 3000000 /dev/urandom >from/data; truncate -s 50M from/data; "
      "echo end >>from/data; : >from/empty");
  for (const char* name : {"data", "empty"}) {
    const Entry entry = EntryOf(name);
    const auto in = OpenEntry(entry, O_RDONLY);
    const UniqueFd out(::open(Path(std::string("to/") + name).c_str(), O_WRONLY | O_CREAT, 0600));
    const auto copied =
        CopyContent(in->get(), out.get(), static_cast<uint64_t>(entry.attributes.st_size));
    ASSERT_TRUE(copied.ok()) << copied.status();
    EXPECT_EQ(*copied, static_cast<uint64_t>(entry.attributes.st_size));
    Run(std::string("cmp from/") + name + " to/" + name);
  }
  struct stat attributes{};
  ASSERT_EQ(::stat(Path("to/data").c_str(), &attributes), 0);
  EXPECT_LT(attributes.st_blocks * 512, 10'000'000);
}

}  // namespace
}  // namespace starling::dockerfile::files
