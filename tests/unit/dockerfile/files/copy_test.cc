#include "dockerfile/files/copy.h"

#include <gmock/gmock.h>

#include "tests/unit/dockerfile/files/tree_fixture.h"

namespace starling::dockerfile::files {
namespace {

using ::testing::HasSubstr;

class CopyTest : public TreeFixture {
 protected:
  /// Copies PATHs of `from`; a word with one of *?[ is a pattern.
  Status Copy(const std::vector<std::string>& paths, const std::string& destination,
              CopyRequest request = {}) {
    for (const std::string& path : paths) {
      CopySource source;
      source.root = from();
      source.path = path;
      source.is_pattern = path.find_first_of("*?[") != std::string::npos;
      source.zero_owners = zero_owners_;
      source.unpack = unpack_;
      request.sources.push_back(source);
    }
    request.destination = destination;
    const auto report = CopyFiles(request, to(), {});
    report_ = report.ok() ? *report : CopyReport();
    return report.status();
  }
  bool zero_owners_ = true;
  bool unpack_ = false;
  CopyReport report_;
};

TEST_F(CopyTest, PutsFilesWhereTheRulesSay) {
  struct Case {
    const char* name;
    std::vector<std::string> paths;
    const char* destination;
    const char* want;  // in `to`
  };
  Run("cd from; mkdir -p d/sub; echo f >f; echo g >g; echo 1 >d/1; echo 2 >d/sub/2; ln -s f link; "
      "ln -s d dlink");
  const Case cases[] = {{"a name", {"f"}, "/new", "new"},
                        {"into a directory that is made", {"f"}, "/dir/", "dir/f"},
                        {"into one that is there", {"f"}, "/existing", "existing/f"},
                        {"what a directory holds", {"d"}, "/dir", "dir/sub/2"},
                        {"all", {""}, "/", "d/sub/2"},
                        {"several", {"f", "g"}, "/dir/", "dir/g"},
                        {"a pattern", {"?"}, "/dir/", "dir/f"},
                        {"through a link", {"link"}, "/new", "new"},
                        {"into it by the link's name", {"link"}, "/dir/", "dir/link"},
                        {"a link to a directory", {"dlink"}, "/dir", "dir/1"},
                        {"a deep name", {"f"}, "/a/b/c/d", "a/b/c/d"}};
  for (const Case& c : cases) {
    Run("rm -rf to; mkdir -p to/existing");
    const Status copied = Copy(c.paths, c.destination);
    EXPECT_TRUE(copied.ok()) << c.name << copied;
    struct stat attributes{};
    ASSERT_EQ(::lstat(Path(std::string("to/") + c.want).c_str(), &attributes), 0) << c.name;
    EXPECT_TRUE(S_ISREG(attributes.st_mode)) << c.name;
  }
}

TEST_F(CopyTest, TwoFilesToOneNameLeaveTheLast) {
  Run("echo f >from/f; echo g >from/g");
  ASSERT_TRUE(Copy({"f", "g"}, "/name").ok());
  EXPECT_EQ(Content("to/name"), "g\n");
}

TEST_F(CopyTest, ModesAndOwners) {
  Run("cd from; mkdir -p d/sub; echo x >d/file; chown -R 7:8 d; chmod 4755 d/file; chmod 700 "
      "d/sub; "
      "chmod 711 d; mkdir -p ../to/there/sub; chmod 750 ../to/there; chown 1:2 ../to/there");
  struct Case {
    const char* name;
    bool zero;
    std::optional<Owner> owner;
    const char* chmod;
    const char* destination;
    const char* file;
    const char* sub;
    const char* root;
  };
  const Case cases[] = {{"from a context", true, {}, "", "/new", "4755 0:0", "700 0:0", "755 0:0"},
                        {"from a stage", false, {}, "", "/new", "4755 7:8", "700 7:8", "755 0:0"},
                        {"owner", true, Owner{5, 6}, "", "/new", "4755 5:6", "700 5:6", "755 5:6"},
                        {"octal mode", true, {}, "640", "/new", "640 0:0", "640 0:0", "640 0:0"},
                        {"letters", true, {}, "u=rw,go=X", "/new", "611 0:0", "611 0:0", "611 0:0"},
                        {"an existing one keeps its own", true, Owner{5, 6}, "", "/there",
                         "4755 5:6", "700 5:6", "750 1:2"}};
  for (const Case& c : cases) {
    Run("rm -rf to/new to/there/file");
    zero_owners_ = c.zero;
    CopyRequest request;
    request.owner = c.owner;
    if (*c.chmod != '\0') {
      request.chmod = *syntax::ParseModeChange(c.chmod);
    }
    ASSERT_TRUE(Copy({"d"}, c.destination, request).ok()) << c.name;
    const std::string root = std::string("to") + c.destination;
    EXPECT_EQ(Ownership(root + "/file"), c.file) << c.name;
    EXPECT_EQ(Ownership(root + "/sub"), c.sub) << c.name;
    EXPECT_EQ(Ownership(root), c.root) << c.name;
  }
}

TEST_F(CopyTest, MissingParentsAreTheOwnersToo) {
  Run("echo x >from/f");
  CopyRequest request;
  request.owner = Owner{5, 6};
  ASSERT_TRUE(Copy({"f"}, "/a/b/", request).ok());
  EXPECT_EQ(Ownership("to/a"), "755 5:6");
  EXPECT_EQ(Ownership("to/a/b"), "755 5:6");
}

TEST_F(CopyTest, DirectoriesThatNoSourceHasMayHaveATimeOfTheSource) {
  Run("mkdir from/d; echo x >from/d/f; echo y >from/g; touch -d @1000 from/d/f from/d; touch -d "
      "@2000 from/g; mkdir to/old; touch -d @3000 to/old");
  const auto time = [this](const std::string& path) {
    struct stat attributes{};
    EXPECT_EQ(::lstat(Path(path).c_str(), &attributes), 0) << path;
    return attributes.st_mtim.tv_sec;
  };
  CopyRequest request;
  request.date_made_directories = true;
  ASSERT_TRUE(Copy({"d"}, "/a/b", request).ok());
  EXPECT_EQ(time("to/a"), 1000);
  EXPECT_EQ(time("to/a/b"), 1000);
  ASSERT_TRUE(Copy({"d", "g"}, "/c/e/", request).ok());
  EXPECT_EQ(time("to/c"), 2000) << "the last";
  EXPECT_EQ(time("to/c/e"), 2000);
  ASSERT_TRUE(Copy({"g"}, "/old/new/", request).ok());
  EXPECT_EQ(time("to/old/new"), 2000);
  EXPECT_GT(time("to/old"), 3000) << "not made";
  ASSERT_TRUE(Copy({"d"}, "/now").ok());
  EXPECT_GT(time("to/now"), 1000000000) << "without";
}

TEST_F(CopyTest, KindsOfFiles) {
  Run("cd from; mkdir d; cd d; echo x >file; ln file hard; ln -s /nowhere link; mkfifo pipe; "
      "mknod null c 1 3; python3 -c 'import socket; socket.socket(socket.AF_UNIX).bind(\"sock\")'; "
      "setfattr -n user.a -v b file; touch -d @1000.5 file; touch -hd @2000 link; touch -d @3000 "
      ".");
  ASSERT_TRUE(Copy({"d"}, "/").ok());
  struct stat file{};
  struct stat hard{};
  ASSERT_EQ(::stat(Path("to/file").c_str(), &file), 0);
  ASSERT_EQ(::stat(Path("to/hard").c_str(), &hard), 0);
  EXPECT_EQ(file.st_ino, hard.st_ino);
  EXPECT_EQ(file.st_mtim.tv_sec, 1000);
  EXPECT_EQ(file.st_mtim.tv_nsec, 500'000'000);
  EXPECT_EQ(std::filesystem::read_symlink(Path("to/link")), "/nowhere");
  struct stat other{};
  ASSERT_EQ(::lstat(Path("to/sock").c_str(), &other), 0);
  EXPECT_TRUE(S_ISREG(other.st_mode));
  EXPECT_EQ(other.st_size, 0);
  ASSERT_EQ(::lstat(Path("to/pipe").c_str(), &other), 0);
  EXPECT_TRUE(S_ISFIFO(other.st_mode));
  ASSERT_EQ(::lstat(Path("to/null").c_str(), &other), 0);
  EXPECT_EQ(other.st_rdev, 0x103u);
  Run("getfattr -n user.a to/file >/dev/null 2>&1");
}

TEST_F(CopyTest, ReplacesFilesAndLinksButNoDirectories) {
  Run("cd from; mkdir -p d/x; echo new >f; echo new >d/y; cd ../to; echo old >f; "
      "ln -s ../outside/file link; mkdir -p dir/f; mkdir y; mkdir d; touch d/x");
  ASSERT_TRUE(Copy({"f"}, "/f").ok());
  EXPECT_EQ(Content("to/f"), "new\n");
  ASSERT_TRUE(Copy({"f"}, "/link").ok());
  EXPECT_EQ(Content("to/link"), "new\n");
  EXPECT_THAT(std::string(MessageOf(Copy({"f"}, "/dir/"))), HasSubstr("cannot replace"));
  EXPECT_THAT(std::string(MessageOf(Copy({"d"}, "/"))), HasSubstr("cannot replace"));
  EXPECT_THAT(std::string(MessageOf(Copy({"d"}, "/d"))), HasSubstr("cannot replace"));
  EXPECT_THAT(std::string(MessageOf(Copy({"d"}, "/f"))), HasSubstr("no directory"));
  ExpectOutsideUntouched();
}

TEST_F(CopyTest, ALinkBelowADirectoryIsNotFollowed) {
  Run("mkdir -p from/d/lib; echo x >from/d/lib/f; mkdir to/real; ln -s real to/lib");
  EXPECT_THAT(std::string(MessageOf(Copy({"d"}, "/"))), HasSubstr("cannot replace"));
  // One in the destination's own path is.
  ASSERT_TRUE(Copy({"d/lib/f"}, "/lib/").ok());
  EXPECT_EQ(Content("to/real/f"), "x\n");
}

TEST_F(CopyTest, LinksLeadOutOfNeitherTree) {
  Run("echo secret >outside/secret; cd from; ln -s ../outside/secret f; ln -s ../../outside d; "
      "ln -s " +
      Path("outside/secret").native() +
      " a; echo x >x; cd ../to; "
      "ln -s ../outside up; ln -s " +
      Path("outside").native() + " abs; rm -f ../outside/none");
  for (const char* path : {"f", "a", "d/secret"}) {
    EXPECT_EQ(Copy({path}, "/stolen").code(), StatusCode::kNotFound) << path;
  }
  ASSERT_TRUE(Copy({"x"}, "/up/").ok());
  ASSERT_TRUE(Copy({"x"}, "/abs/sub/x").ok());
  ASSERT_TRUE(Copy({"x"}, "/../../x").ok());
  EXPECT_EQ(Content("to/outside/x"), "x\n");
  Run("rm outside/secret");
  ExpectOutsideUntouched();
}

TEST_F(CopyTest, Parents) {
  Run("cd from; mkdir -p a/b/c x; chmod 711 a/b; echo 1 >a/b/1; echo 2 >a/b/c/2; echo 3 >x/3");
  struct Case {
    const char* path;
    const char* want;
  };
  for (const Case& c :
       {Case{"a/b/1", "to/out/a/b/1"}, Case{"a/./b/1", "to/out/b/1"}, Case{"a/b", "to/out/a/b/c/2"},
        Case{"*/*", "to/out/x/3"}, Case{"a/b/./c", "to/out/c/2"}}) {
    Run("rm -rf to; mkdir to");
    CopyRequest request;
    request.parents = true;
    ASSERT_TRUE(Copy({c.path}, "/out/", request).ok()) << c.path;
    EXPECT_TRUE(Exists(c.want)) << c.path;
  }
  Run("rm -rf to; mkdir to");
  CopyRequest request;
  request.parents = true;
  ASSERT_TRUE(Copy({"a/b/1"}, "/", request).ok());
  EXPECT_EQ(Ownership("to/a/b"), "711 0:0");
  ASSERT_TRUE(Copy({"a/none*"}, "/empty/", request).ok());
  EXPECT_EQ(Ownership("to/empty"), "755 0:0");
}

TEST_F(CopyTest, ExcludesFromDirectoriesAndSingleFiles) {
  Run("cd from; mkdir -p d/sub; touch d/a.o d/b.c d/sub/c.o e.o");
  CopyRequest request;
  request.exclude = {"*.o", "sub/*.o"};
  ASSERT_TRUE(Copy({"d", "e.o"}, "/", request).ok());
  EXPECT_TRUE(Exists("to/b.c") && Exists("to/sub"));
  EXPECT_FALSE(Exists("to/a.o") || Exists("to/sub/c.o") || Exists("to/e.o"));
}

TEST_F(CopyTest, APatternThatMatchesNothingCopiesNothing) {
  ASSERT_TRUE(Copy({"none*"}, "/x/").ok());
  EXPECT_FALSE(Exists("to/x"));
  EXPECT_EQ(Copy({"none"}, "/x/").code(), StatusCode::kNotFound);
}

TEST_F(CopyTest, UnpacksAnArchiveByItsContent) {
  Run("cd from; mkdir d; echo x >d/f; tar -C d -czf archive.txt f; echo text >text.tar; "
      "ln -s archive.txt link");
  unpack_ = true;
  ASSERT_TRUE(Copy({"archive.txt", "text.tar", "link"}, "/out/").ok());
  EXPECT_EQ(Content("to/out/f"), "x\n");
  EXPECT_EQ(Content("to/out/text.tar"), "text\n");
  EXPECT_FALSE(Exists("to/out/archive.txt"));
  unpack_ = false;
  ASSERT_TRUE(Copy({"archive.txt"}, "/out/").ok());
  EXPECT_TRUE(Exists("to/out/archive.txt"));
}

TEST_F(CopyTest, StopsWhenItIsTold) {
  Run("mkdir from/d; touch from/d/1");
  std::stop_source stop;
  stop.request_stop();
  CopyRequest request;
  request.sources.emplace_back().root = from();
  request.destination = "/";
  EXPECT_EQ(CopyFiles(request, to(), stop.get_token()).status().code(), StatusCode::kCancelled);
}

TEST_F(CopyTest, TellsHowMuchItWas) {
  Run("mkdir from/d; head -c 1000 /dev/zero >from/d/1; echo x >from/d/2");
  ASSERT_TRUE(Copy({"d"}, "/").ok());
  EXPECT_EQ(report_.files, 2u);
  EXPECT_EQ(report_.bytes, 1002u);
}

TEST_F(CopyTest, WorkingDirectoriesAreTheUsers) {
  Run("mkdir to/a");
  ASSERT_TRUE(MakeDirectory(to(), "/a/b/c", {5, 6}).ok());
  EXPECT_EQ(Ownership("to/a"), "755 0:0");
  EXPECT_EQ(Ownership("to/a/b"), "755 5:6");
  EXPECT_EQ(Ownership("to/a/b/c"), "755 5:6");
}

TEST(ChangedMode, DoesWhatChmodDoes) {
  struct Case {
    const char* change;
    uint32_t mode;
    bool is_directory;
    uint32_t want;
  };
  const Case cases[] = {{"755", 0600, false, 0755}, {"u+x", 0644, false, 0744},
                        {"+x", 0644, false, 0755},  {"a-w", 0666, false, 0444},
                        {"go=", 0777, false, 0700}, {"u=rw,go=r", 0777, false, 0644},
                        {"+X", 0644, false, 0644},  {"+X", 0744, false, 0755},
                        {"+X", 0644, true, 0755},   {"u+s,g+s", 0755, false, 06755},
                        {"+t", 0777, true, 01777},  {"g=u", 0700, false, 0770},
                        {"o=g", 0750, false, 0755}, {"u=rwx", 04755, false, 0755},
                        {"g-s", 02755, false, 0755}};
  for (const Case& c : cases) {
    EXPECT_EQ(ChangedMode(*syntax::ParseModeChange(c.change), c.mode, c.is_directory), c.want)
        << c.change;
  }
}

}  // namespace
}  // namespace starling::dockerfile::files
