#include "dockerfile/files/archive.h"

#include <fcntl.h>
#include <gmock/gmock.h>

#include <fstream>

#include "dockerfile/files/root_walk.h"
#include "tests/support/tar_builder.h"
#include "tests/unit/dockerfile/files/tree_fixture.h"

namespace starling::dockerfile::files {
namespace {

using ::testing::HasSubstr;
using testing_support::TarBuilder;
using testing_support::TarFile;

class ArchiveTest : public TreeFixture {
 protected:
  Status Unpack(const std::string& name, const UnpackOptions& options = {}) {
    const UniqueFd file(::open(Path(name).c_str(), O_RDONLY));
    const auto root = OpenRoot(to());
    const auto unpacked = UnpackArchive(file.get(), root->get(), options, {});
    report_ = unpacked.ok() ? *unpacked : UnpackReport();
    return unpacked.status();
  }
  Status UnpackBytes(const std::string& bytes, const UnpackOptions& options = {}) {
    std::ofstream(Path("archive"), std::ios::binary) << bytes;
    return Unpack("archive", options);
  }
  bool IsOne(const std::string& name) {
    const UniqueFd file(::open(Path(name).c_str(), O_RDONLY));
    return *IsArchive(file.get()) && ::lseek(file.get(), 0, SEEK_CUR) == 0;
  }
  UnpackReport report_;
};

TEST_F(ArchiveTest, IsKnownByItsContent) {
  Run("cd from; echo x >f; for c in '' z j J; do tar -c${c}f ../a$c f; done; "
      "tar -c f | zstd -q >../azst; echo text >../text.tar; : >../empty; "
      "head -c 2000 /dev/urandom >../noise; gzip -c f >../onlygz");
  for (const char* name : {"a", "az", "aj", "aJ", "azst"}) {
    EXPECT_TRUE(IsOne(name)) << name;
    Run("rm -rf to; mkdir to");
    const Status unpacked = Unpack(name);
    EXPECT_TRUE(unpacked.ok()) << name << unpacked;
    EXPECT_EQ(Content("to/f"), "x\n") << name;
  }
  for (const char* name : {"text.tar", "empty", "noise", "onlygz"}) {
    EXPECT_FALSE(IsOne(name)) << name;
  }
}

TEST_F(ArchiveTest, AFileOfAZip) {
  Run("cd from; mkdir -p d/e; head -c 300000 /dev/zero >d/e/file; echo x >other; python3 -m "
      "zipfile "
      "-c ../zip other d; head -c 200 ../zip >../short; echo noise >../noise");
  const auto extract = [this](const char* archive, const char* name, uint64_t max_bytes) {
    const UniqueFd file(::open(Path(archive).c_str(), O_RDONLY));
    const UniqueFd out(::open(Path("out").c_str(), O_WRONLY | O_CREAT | O_TRUNC, 0600));
    return ExtractFromZip(file.get(), name, out.get(), max_bytes, {}).code();
  };
  EXPECT_EQ(extract("zip", "d/e/file", 300000), StatusCode::kOk);
  EXPECT_EQ(Content("out"), Content("from/d/e/file"));
  EXPECT_EQ(extract("zip", "d/e/file", 299999), StatusCode::kResourceExhausted);
  EXPECT_EQ(extract("zip", "d/e", 300000), StatusCode::kNotFound);
  EXPECT_EQ(extract("zip", "e/file", 300000), StatusCode::kNotFound);
  EXPECT_EQ(extract("short", "d/e/file", 300000), StatusCode::kDataLoss);
  EXPECT_EQ(extract("noise", "d/e/file", 300000), StatusCode::kDataLoss);
}

TEST_F(ArchiveTest, KeepsWhatATarKeeps) {
  Run("cd from; mkdir d; echo x >d/file; chown 5:6 d/file; chmod 4711 d/file; ln d/file d/hard; "
      "ln -s /nowhere d/link; mkfifo d/pipe; mknod d/null c 1 3; setfattr -n user.a -v b d/file; "
      "touch -d @1000 d/file; chmod 750 d; touch -d @2000 d; "
      "tar --xattrs -cf ../archive d");
  ASSERT_TRUE(Unpack("archive").ok());
  EXPECT_EQ(Ownership("to/d/file"), "4711 5:6");
  EXPECT_EQ(Ownership("to/d"), "750 0:0");
  Run("test $(stat -c %i to/d/file) = $(stat -c %i to/d/hard); test $(stat -c %Y to/d/file) = "
      "1000; "
      "test $(stat -c %Y to/d) = 2000; test -p to/d/pipe; test -c to/d/null; "
      "getfattr -n user.a to/d/file >/dev/null 2>&1");
  EXPECT_EQ(std::filesystem::read_symlink(Path("to/d/link")), "/nowhere");
  UnpackOptions options;
  options.owner = Owner{7, 8};
  options.chmod = *syntax::ParseModeChange("600");
  Run("rm -rf to; mkdir to");
  ASSERT_TRUE(Unpack("archive", options).ok());
  EXPECT_EQ(Ownership("to/d/file"), "600 7:8");
}

TEST_F(ArchiveTest, RefusesOwnersThatThereCannotBe) {
  for (const char* id : {"4294967295", "4294967296", "-1"}) {
    Run("rm -rf to; mkdir to");
    const Status refused =
        UnpackBytes(TarBuilder().Add({.name = "f", .content = "x", .pax = {{"uid", id}}}).Finish());
    EXPECT_EQ(refused.code(), StatusCode::kInvalidArgument) << id << refused;
    EXPECT_THAT(std::string(MessageOf(refused)), HasSubstr("there can be no owner"));
    EXPECT_FALSE(Exists("to/f"));
  }
}

TEST_F(ArchiveTest, KeepsNamesInAnyScript) {
  std::string long_name;
  for (int i = 0; i < 60; ++i) {
    long_name += "\u4e2d";
  }
  for (const std::string& name : {std::string("\u00e9\u4e2d/\xff\xfe"), long_name}) {
    const Status unpacked = UnpackBytes(TarBuilder().Add({.name = name, .content = "x"}).Finish());
    ASSERT_TRUE(unpacked.ok()) << unpacked;
    EXPECT_EQ(Content("to/" + name), "x");
  }
}

TEST_F(ArchiveTest, NamesAndLinksLeadNowhereElse) {
  const std::string outside = Path("outside").native();
  const std::string absolute = TarBuilder()
                                   .Add({.name = "/abs", .content = "x"})
                                   .Add({.name = "out", .type = '2', .link_name = outside})
                                   .Add({.name = "out/file", .content = "evil"})
                                   .Add({.name = "up", .type = '2', .link_name = "../outside"})
                                   .Add({.name = "up/file", .content = "evil"})
                                   .Finish();
  ASSERT_TRUE(UnpackBytes(absolute).ok());
  EXPECT_EQ(Content("to/abs"), "x");
  EXPECT_EQ(Content("to" + outside + "/file"), "evil");
  EXPECT_EQ(Content("to/outside/file"), "evil");
  ExpectOutsideUntouched();
  const std::string leading_out = TarBuilder().Add({.name = "a/../../x", .content = "x"}).Finish();
  const Status refused = UnpackBytes(leading_out);
  EXPECT_EQ(refused.code(), StatusCode::kInvalidArgument);
  EXPECT_THAT(std::string(MessageOf(refused)), HasSubstr("a/../../x"));
}

TEST_F(ArchiveTest, HardLinksAreToFilesInside) {
  const std::string outside = Path("outside").native();
  for (const std::string& target : {outside + "/file", std::string("link/file")}) {
    Run("rm -rf to; mkdir to");
    const std::string tar = TarBuilder()
                                .Add({.name = "link", .type = '2', .link_name = outside})
                                .Add({.name = "hard", .type = '1', .link_name = target})
                                .Finish();
    EXPECT_FALSE(UnpackBytes(tar).ok()) << target;
    EXPECT_FALSE(Exists("to/hard"));
  }
  // A second name of a link is a link.
  const std::string tar = TarBuilder()
                              .Add({.name = "a", .type = '2', .link_name = outside + "/file"})
                              .Add({.name = "b", .type = '1', .link_name = "a"})
                              .Finish();
  Run("rm -rf to; mkdir to");
  ASSERT_TRUE(UnpackBytes(tar).ok());
  EXPECT_TRUE(std::filesystem::is_symlink(Path("to/b")));
}

TEST_F(ArchiveTest, ModesAreNotSetThroughLinks) {
  const std::string tar =
      TarBuilder()
          .Add({.name = "d", .type = '2', .link_name = Path("outside").native()})
          .Add({.name = "d", .type = '5', .mode = 0777})
          .Finish();
  const std::string before = Ownership("outside");
  ASSERT_TRUE(UnpackBytes(tar).ok());
  EXPECT_EQ(Ownership("outside"), before);
}

TEST_F(ArchiveTest, AnEntryReplacesWhatHasItsNameAndMergesDirectories) {
  Run("echo old >to/f; mkdir -p to/d/below to/merged; echo kept >to/d/below/file; "
      "echo kept >to/merged/kept; ln -s ../outside/file to/l; ln -s merged to/dl; echo x >to/fd");
  ASSERT_TRUE(UnpackBytes(TarBuilder()
                              .Add({.name = "f", .content = "1"})
                              .Add({.name = "f", .content = "2"})
                              .Add({.name = "l", .content = "3"})
                              .Add({.name = "d", .content = "4"})
                              .Add({.name = "fd", .type = '5', .mode = 0711})
                              .Add({.name = "fd/in", .content = "5"})
                              .Add({.name = "dl", .type = '5', .mode = 0700})
                              .Add({.name = "dl/in", .content = "6"})
                              .Add({.name = "merged", .type = '5', .mode = 0750})
                              .Finish())
                  .ok());
  EXPECT_EQ(Content("to/f"), "2");
  EXPECT_EQ(Content("to/l"), "3");
  EXPECT_EQ(Content("to/d"), "4");
  EXPECT_EQ(Content("to/fd/in"), "5");
  EXPECT_EQ(Ownership("to/fd"), "711 0:0");
  EXPECT_TRUE(std::filesystem::is_directory(std::filesystem::symlink_status(Path("to/dl"))));
  EXPECT_FALSE(Exists("to/merged/in"));
  EXPECT_EQ(Content("to/merged/kept"), "kept\n");
  EXPECT_EQ(Ownership("to/merged"), "750 0:0");
  ExpectOutsideUntouched();
}

TEST_F(ArchiveTest, AnEntryWithoutANameIsTheRootWhateverItsKind) {
  Run("chmod 751 to");
  ASSERT_TRUE(UnpackBytes(TarBuilder()
                              .Add({.name = "./", .type = '5', .mode = 0700})
                              .Add({.name = "", .content = ""})
                              .Add({.name = "f", .content = "x"})
                              .Finish())
                  .ok());
  EXPECT_EQ(Ownership("to"), "751 0:0");
  EXPECT_EQ(Content("to/f"), "x");
}

TEST_F(ArchiveTest, WhiteoutsAreOrdinaryNames) {
  Run("echo kept >to/f");
  ASSERT_TRUE(UnpackBytes(TarBuilder().Add({.name = ".wh.f", .content = ""}).Finish()).ok());
  EXPECT_EQ(Content("to/f"), "kept\n");
  EXPECT_TRUE(Exists("to/.wh.f"));
}

TEST_F(ArchiveTest, WhiteoutsOfALayerRemoveWhatIsBelowIt) {
  const struct {
    std::string_view name;
    std::vector<TarFile> layer;
    std::string want;  // of the files below /, without directories
  } cases[] = {
      {"nothing", {}, "./d/a ./d/deep/b ./f"},
      {"a file", {{.name = ".wh.f"}}, "./d/a ./d/deep/b"},
      {"a directory", {{.name = ".wh.d"}}, "./f"},
      {"one that is not there", {{.name = "d/.wh.none"}}, "./d/a ./d/deep/b ./f"},
      {"replaced", {{.name = ".wh.d"}, {.name = "d/new", .content = "x"}}, "./d/new ./f"},
      {"opaque", {{.name = "d/.wh..wh..opq"}, {.name = "d/new", .content = "x"}}, "./d/new ./f"},
      {"opaque, and said late",
       {{.name = "d/deep/new", .content = "x"}, {.name = "d/.wh..wh..opq"}},
       "./d/deep/new ./f"},
      {"a name that is only the prefix", {{.name = ".wh."}}, "./d/a ./d/deep/b ./f"},
      {"what aufs left", {{.name = ".wh..wh.aufs", .content = "x"}}, "./d/a ./d/deep/b ./f"},
  };
  for (const auto& c : cases) {
    SCOPED_TRACE(c.name);
    Run("rm -rf to; mkdir -p to/d/deep; touch to/f to/d/a to/d/deep/b");
    TarBuilder tar;
    for (const TarFile& file : c.layer) {
      tar.Add(file);
    }
    ASSERT_TRUE(UnpackBytes(tar.Finish(), {.is_layer = true}).ok());
    Run("cd to && find . -type f | sort | tr '\\n' ' ' | sed 's/ $//' >../found");
    EXPECT_EQ(Content("found"), c.want);
  }
  ExpectOutsideUntouched();
}

TEST_F(ArchiveTest, ALayerSetsTheRootsMode) {
  Run("chmod 751 to");
  ASSERT_TRUE(UnpackBytes(TarBuilder().Add({.name = "./", .type = '5', .mode = 0700}).Finish(),
                          {.is_layer = true})
                  .ok());
  EXPECT_EQ(Ownership("to"), "700 0:0");
}

TEST_F(ArchiveTest, IsBounded) {
  Run("head -c 20000000 /dev/zero >from/f; tar -C from -czf archive f");
  UnpackOptions options;
  options.max_bytes = 1'000'000;
  EXPECT_EQ(Unpack("archive", options).code(), StatusCode::kResourceExhausted);
  options = {};
  options.max_files = 1;
  EXPECT_EQ(
      UnpackBytes(
          TarBuilder().Add({.name = "a", .content = ""}).Add({.name = "b", .content = ""}).Finish(),
          options)
          .code(),
      StatusCode::kResourceExhausted);
}

TEST_F(ArchiveTest, SaysThatAnArchiveIsBroken) {
  Run("head -c 1000000 /dev/urandom >from/f; tar -C from -czf whole f; head -c 500000 whole "
      ">archive");
  const Status refused = Unpack("archive");
  EXPECT_EQ(refused.code(), StatusCode::kDataLoss);
  EXPECT_THAT(std::string(MessageOf(refused)), HasSubstr("archive: f"));
}

}  // namespace
}  // namespace starling::dockerfile::files
