#include "dockerfile/files/root_walk.h"

#include <fcntl.h>
#include <gmock/gmock.h>

#include "tests/unit/dockerfile/files/tree_fixture.h"

namespace starling::dockerfile::files {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::IsEmpty;

class RootWalkTest : public TreeFixture {
 protected:
  Status Ensure(const std::string& path) {
    made_ = 0;
    const auto root = OpenRoot(to());
    return EnsureDirectory(root->get(), path,
                           [this](int) {
                             ++made_;
                             return OkStatus();
                           })
        .status();
  }
  int made_ = 0;
};

TEST_F(RootWalkTest, MakesWhatIsMissing) {
  ASSERT_TRUE(Ensure("/a/b/../c/./d").ok());
  EXPECT_EQ(made_, 4);
  EXPECT_EQ(Ownership("to/a/b"), "755 0:0");
  EXPECT_EQ(Ownership("to/a/c/d"), "755 0:0");
  ASSERT_TRUE(Ensure("/a/c").ok());
  EXPECT_EQ(made_, 0);
  ASSERT_TRUE(Ensure("/").ok());
}

TEST_F(RootWalkTest, StaysInTheTreeWhereverLinksLead) {
  Run("ln -s " + Path("outside").native() +
      " to/absolute; ln -s ../../outside to/up; "
      "ln -s nowhere/yet to/dangling; ln -s loop to/loop");
  ASSERT_TRUE(Ensure("/absolute/a").ok());
  ASSERT_TRUE(Ensure("/up/b").ok());
  ASSERT_TRUE(Ensure("/dangling/c").ok());
  ASSERT_TRUE(Ensure("/../../../d").ok());
  EXPECT_TRUE(Exists("to/nowhere/yet/c"));
  EXPECT_TRUE(Exists("to/outside/b"));
  EXPECT_TRUE(Exists("to/d"));
  EXPECT_FALSE(Ensure("/loop/x").ok());
  ExpectOutsideUntouched();
}

TEST_F(RootWalkTest, SaysWhatIsNoDirectory) {
  Run("touch to/file");
  const Status refused = Ensure("/file/x");
  EXPECT_EQ(refused.code(), StatusCode::kFailedPrecondition);
  EXPECT_THAT(std::string(MessageOf(refused)), HasSubstr("file is there and is no directory"));
}

TEST_F(RootWalkTest, OpensLikeAProcessInTheTree) {
  Run("mkdir -p to/etc; echo inside >to/etc/file; ln -s /etc to/absolute; ln -s ../../etc to/up");
  const auto root = OpenRoot(to());
  for (const char* path : {"etc/file", "/etc/file", "absolute/file", "up/file", "../../etc/file"}) {
    EXPECT_TRUE(OpenInRoot(root->get(), path, O_RDONLY).ok()) << path;
  }
  EXPECT_EQ(OpenInRoot(root->get(), "none", O_RDONLY).status().code(), StatusCode::kNotFound);
  EXPECT_TRUE(OpenWithoutLinks(root->get(), "etc/file", O_RDONLY).ok());
  for (const char* path : {"absolute/file", "up", "/etc/file", "../to"}) {
    EXPECT_FALSE(OpenWithoutLinks(root->get(), path, O_RDONLY).ok()) << path;
  }
}

TEST_F(RootWalkTest, OpensProgramsOnly) {
  Run("mkdir -p to/bin to/etc; touch to/bin/tool to/bin/text; chmod 755 to/bin/tool; chmod 644 "
      "to/bin/text; "
      "ln -s /bin/tool to/etc/link; ln -s nowhere to/bin/dangling");
  const auto root = OpenRoot(to());
  for (const char* path : {"/bin/tool", "bin/tool", "/etc/link", "/../bin/tool"}) {
    EXPECT_TRUE(OpenProgram(root->get(), path).valid()) << path;
  }
  for (const char* path : {"/bin/text", "/bin/dangling", "/bin/none", "/bin", "/"}) {
    EXPECT_FALSE(OpenProgram(root->get(), path).valid()) << path;
  }
}

TEST(PartsOf, HasNoEmptyParts) {
  EXPECT_THAT(PartsOf("//a/./b/../c/"), ElementsAre("a", "b", "..", "c"));
  EXPECT_THAT(PartsOf("/"), IsEmpty());
}

TEST_F(RootWalkTest, RemovesATreeAndFollowsNoLink) {
  Run("mkdir -p to/a/b/c to/kept; touch to/a/f to/a/b/f to/kept/f; ln -s ../../kept to/a/b/in; "
      "ln -s " +
      Path("outside").native() + " to/a/out; ln -s kept to/link");
  const auto root = OpenRoot(to());
  for (const char* name : {"a", "link", "none"}) {
    const Status removed = RemoveTree(root->get(), name);
    EXPECT_TRUE(removed.ok()) << name << removed;
    EXPECT_FALSE(Exists(std::string("to/") + name));
  }
  EXPECT_TRUE(Exists("to/kept/f"));
  ExpectOutsideUntouched();
}

TEST_F(RootWalkTest, RefusesToRemoveATreeThatIsTooDeep) {
  std::string path = "to/deep";
  for (int i = 0; i < 510; ++i) {
    path += "/d";
  }
  Run("mkdir -p " + path);
  const auto root = OpenRoot(to());
  EXPECT_EQ(RemoveTree(root->get(), "deep").code(), StatusCode::kResourceExhausted);
}

}  // namespace
}  // namespace starling::dockerfile::files
