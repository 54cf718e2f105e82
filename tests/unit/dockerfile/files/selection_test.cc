#include "dockerfile/files/selection.h"

#include <gmock/gmock.h>

#include "tests/unit/dockerfile/files/tree_fixture.h"

namespace starling::dockerfile::files {
namespace {

using ::testing::ElementsAreArray;
using ::testing::HasSubstr;

/// Notes what it hears: directories with a slash, "<" when they are left.
class Notes : public EntryVisitor {
 public:
  Status EnterDirectory(const Entry& entry) override {
    text += entry.path + "/ ";
    return OkStatus();
  }
  Status LeaveDirectory() override {
    text += "< ";
    return OkStatus();
  }
  Status VisitFile(const Entry& entry) override {
    text += entry.path + " ";
    return OkStatus();
  }
  std::string text;
};

class SelectionTest : public TreeFixture {
 protected:
  void SetUp() override {
    TreeFixture::SetUp();
    Run("cd from; mkdir -p a/b c .hidden; touch a/1.txt a/b/2.txt c/3.txt c/4.md 5.txt '[x].txt'; "
        "ln -s a link; ln -s ../../outside out; ln -s /c/3.txt absolute; ln -s nowhere dangling");
  }
  CopySource Source(const std::string& path) const {
    CopySource source;
    source.root = from();
    source.path = path;
    source.is_pattern = path.find_first_of("*?[\\") != std::string::npos;
    return source;
  }
  CopySource Ignoring(const std::string& path, const syntax::IgnoreFile& ignore) const {
    CopySource source = Source(path);
    source.ignore_file = &ignore;
    return source;
  }
  static syntax::IgnoreFile Ignore(const std::string& text) {
    return *syntax::IgnoreFile::Parse(text);
  }
  std::string Walk(const CopySource& source, const std::string& path,
                   const std::vector<std::string>& exclude = {}) {
    Notes notes;
    const auto excludes = ParseExcludes(exclude);
    const Status visited = Visit(source, path, excludes->get(), notes);
    return visited.ok() ? notes.text : std::string(MessageOf(visited));
  }
};

TEST_F(SelectionTest, FindsWhatAPathOrAPatternNames) {
  struct Case {
    const char* path;
    std::vector<std::string> want;
    bool parents = false;
  };
  const Case cases[] = {{"", {""}},
                        {"a", {"a"}},
                        {"a/b/2.txt", {"a/b/2.txt"}},
                        {"link/1.txt", {"link/1.txt"}},
                        {"absolute", {"absolute"}},
                        {"*.txt", {"5.txt", "[x].txt"}},
                        {"*/*.txt", {"a/1.txt", "c/3.txt", "link/1.txt"}},
                        {"?", {"a", "c"}},
                        {"[ab]", {"a"}},
                        {"[^a]", {"c"}},
                        {"\\[x\\].txt", {"[x].txt"}},
                        {".*", {".hidden"}},
                        {"none*", {}},
                        {"**/2.txt", {}},
                        {"**/2.txt", {"a/b/2.txt"}, true},
                        {"**/*.txt", {"5.txt", "[x].txt", "a/1.txt", "a/b/2.txt", "c/3.txt"}, true},
                        {"a/./b", {"a/b"}, true}};
  for (const Case& c : cases) {
    const auto selected = Select(Source(c.path), c.parents);
    ASSERT_TRUE(selected.ok()) << c.path << selected.status();
    EXPECT_THAT(*selected, ElementsAreArray(c.want)) << c.path;
  }
}

TEST_F(SelectionTest, MissesWhatIsNotThere) {
  for (const char* path : {"none", "a/none", "dangling", "5.txt/x", "out", "out/file"}) {
    const auto selected = Select(Source(path), false);
    EXPECT_EQ(selected.status().code(), StatusCode::kNotFound) << path;
    EXPECT_THAT(std::string(MessageOf(selected.status())), HasSubstr(path));
  }
}

TEST_F(SelectionTest, WhatIsIgnoredIsNotThere) {
  const syntax::IgnoreFile ignore = Ignore("5.txt\nc\n!c/3.txt\na\n");
  EXPECT_THAT(std::string(MessageOf(Select(Ignoring("5.txt", ignore), false).status())),
              HasSubstr("ignore file"));
  // Directories may hold what is included again.
  EXPECT_THAT(*Select(Ignoring("*", ignore), false),
              ElementsAreArray({".hidden", "[x].txt", "absolute", "c", "link"}));
  EXPECT_THAT(*Select(Ignoring("c", ignore), false), ElementsAreArray({"c"}));
}

TEST_F(SelectionTest, AnIgnoredDirectoryThatHoldsNothingIsNotThere) {
  const syntax::IgnoreFile ignore = Ignore("*\n!c/none\n!.hidden\n");
  for (const char* path : {"c", "a/b"}) {
    EXPECT_THAT(std::string(MessageOf(Select(Ignoring(path, ignore), false).status())),
                HasSubstr("ignore file"))
        << path;
  }
  EXPECT_THAT(*Select(Ignoring("*", ignore), false), ElementsAreArray({".hidden"}));
  EXPECT_THAT(*Select(Ignoring("", ignore), false), ElementsAreArray({""}));
}

TEST_F(SelectionTest, GoesThroughADirectoryInOrder) {
  EXPECT_EQ(Walk(Source("a"), "a"), "/ 1.txt b/ b/2.txt < < ");
  EXPECT_EQ(Walk(Source("link"), "link"), "/ 1.txt b/ b/2.txt < < ");
  EXPECT_EQ(Walk(Source("5.txt"), "5.txt"), " ");
  EXPECT_EQ(Walk(Source("absolute"), "absolute"), " ");
}

TEST_F(SelectionTest, LeavesOutWhatIsExcludedButNotWhatIsIncludedAgain) {
  const std::pair<std::vector<std::string>, const char*> cases[] = {
      {{"*.txt"}, "/ b/ b/2.txt < < "},
      {{"**/*.txt"}, "/ b/ < < "},
      {{"b"}, "/ 1.txt < "},
      {{"b", "!b/2.txt"}, "/ 1.txt b/ b/2.txt < < "},
      {{"*", "!**/2.txt"}, "/ b/ b/2.txt < < "},
      {{"*", "!none"}, "/ < "}};
  for (const auto& [exclude, want] : cases) {
    EXPECT_EQ(Walk(Source("a"), "a", exclude), want) << exclude[0];
  }
  // A file, too, is excluded by its name.
  EXPECT_EQ(Walk(Source("5.txt"), "5.txt", {"*.txt"}), "");
}

TEST_F(SelectionTest, AnIgnoredDirectoryIsThereForWhatItHolds) {
  const syntax::IgnoreFile ignore = Ignore("*\n!a/b/2.txt\n");
  EXPECT_EQ(Walk(Ignoring("", ignore), ""), "/ a/ a/b/ a/b/2.txt < < < ");
}

TEST_F(SelectionTest, ADeepTreeIsRefusedAndNothingIsLost) {
  std::string path;
  for (int i = 0; i < 520; ++i) {
    path += "d/";
  }
  Run("mkdir -p from/" + path);
  EXPECT_THAT(Walk(Source("d"), "d"), HasSubstr("deeper than"));
}

}  // namespace
}  // namespace starling::dockerfile::files
