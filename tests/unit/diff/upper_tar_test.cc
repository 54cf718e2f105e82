#include "diff/upper_tar.h"

#include <fcntl.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <sys/socket.h>
#include <sys/sysmacros.h>
#include <sys/un.h>
#include <sys/xattr.h>

#include <array>
#include <fstream>

#include "base/temp_dir.h"
#include "estargz/tar.h"

namespace starling::diff {
namespace {

using estargz::TarEntry;
using estargz::TarType;
using testing::ElementsAre;
using testing::HasSubstr;
using testing::IsEmpty;
using testing::Pair;
using testing::SizeIs;

class UpperTarTest : public testing::Test {
 protected:
  void SetUp() override {
    auto directory = TempDir::Make("/tmp", "upper-tar-");
    ASSERT_TRUE(directory.ok()) << directory.status();
    directory_.emplace(*std::move(directory));
    std::filesystem::create_directory(Upper());
  }
  std::filesystem::path Upper() const { return directory_->path() / "upper"; }
  void MakeFile(const std::string& name, std::string_view content = "") {
    std::ofstream(Upper() / name, std::ios::binary) << content;
  }
  void MakeDirectory(const std::string& name) {
    ASSERT_TRUE(std::filesystem::create_directory(Upper() / name));
  }
  void MakeNode(const std::string& name, mode_t mode, dev_t device) {
    ASSERT_EQ(::mknod((Upper() / name).c_str(), mode, device), 0) << strerror(errno);
  }
  void SetXattr(const std::string& path, const char* name, std::string_view value) {
    ASSERT_EQ(::lsetxattr((Upper() / path).c_str(), name, value.data(), value.size(), 0), 0)
        << strerror(errno);
  }
  void SetTime(const std::string& path, timespec modified) {
    const std::array times = {modified, modified};
    ASSERT_EQ(::utimensat(AT_FDCWD, (Upper() / path).c_str(), times.data(), AT_SYMLINK_NOFOLLOW),
              0);
  }

  StatusOr<Bytes> Tar(UpperTarOptions options = {}) {
    ASSIGN_OR_RETURN(const auto tar, UpperTar::Open(Upper(), std::move(options)));
    return ReadAll(*tar, 1 << 26);
  }
  std::vector<TarEntry> Entries(UpperTarOptions options = {}) {
    std::vector<TarEntry> entries;
    const auto bytes = Tar(std::move(options));
    EXPECT_TRUE(bytes.ok()) << bytes.status();
    if (!bytes.ok()) {
      return entries;
    }
    SpanSource source(*bytes);
    estargz::TarReader reader(source);
    for (;;) {
      auto entry = reader.Next();
      EXPECT_TRUE(entry.ok()) << entry.status();
      if (!entry.ok() || !*entry) {
        return entries;
      }
      std::string content((*entry)->size_bytes, '\0');
      EXPECT_TRUE(reader.ReadPayload(std::as_writable_bytes(std::span(content))).ok());
      contents_[(*entry)->name] = content;
      entries.push_back(**std::move(entry));
    }
  }
  std::vector<std::string> Names(UpperTarOptions options = {}) {
    std::vector<std::string> names;
    for (const TarEntry& entry : Entries(std::move(options))) {
      names.push_back(entry.name);
    }
    return names;
  }
  TarEntry OnlyEntry() {
    std::vector<TarEntry> entries = Entries();
    EXPECT_THAT(entries, SizeIs(1));
    return entries.empty() ? TarEntry() : entries.front();
  }

  std::optional<TempDir> directory_;
  std::map<std::string, std::string> contents_;
};

TEST_F(UpperTarTest, NothingChangedIsAnEmptyTar) {
  EXPECT_THAT(Entries(), IsEmpty());
  EXPECT_EQ(Tar().value().size(), 1024U);
}

TEST_F(UpperTarTest, SortsNamesAndPutsDirectoriesBeforeWhatTheyHold) {
  MakeFile("z");
  MakeFile("b");
  MakeDirectory("d");
  MakeDirectory("d/e");
  MakeFile("d/e/f");
  MakeFile("d/a");
  MakeFile("d-1");
  EXPECT_THAT(Names(), ElementsAre("b", "d/", "d/a", "d/e/", "d/e/f", "d-1", "z"));
}

TEST_F(UpperTarTest, KeepsWhatFilesAre) {
  const std::string content(3000, 'c');
  MakeFile("f", content);
  ASSERT_EQ(::chmod((Upper() / "f").c_str(), 04751), 0);
  ASSERT_EQ(::chown((Upper() / "f").c_str(), 12, 3'000'000), 0);
  ASSERT_EQ(::chmod((Upper() / "f").c_str(), 04751), 0) << "chown takes setuid away";
  SetTime("f", {.tv_sec = 1'000'000'007, .tv_nsec = 999'999'999});
  const TarEntry file = OnlyEntry();
  EXPECT_EQ(file.type, TarType::kRegular);
  EXPECT_EQ(contents_["f"], content);
  EXPECT_EQ(file.mode, 04751U);
  EXPECT_EQ(file.uid, 12U);
  EXPECT_EQ(file.gid, 3'000'000U);
  EXPECT_EQ(file.modified_seconds, 1'000'000'007);
  EXPECT_EQ(file.modified_nanoseconds, 0U);
}

TEST_F(UpperTarTest, KnowsEveryTypeButSockets) {
  ASSERT_EQ(::symlink("../target", (Upper() / "a-link").c_str()), 0);
  MakeNode("block", S_IFBLK | 0600, ::makedev(8, 300));
  MakeNode("character", S_IFCHR | 0666, ::makedev(1, 3));
  MakeNode("fifo", S_IFIFO | 0644, 0);
  const int socket = ::socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
  sockaddr_un address{.sun_family = AF_UNIX, .sun_path = {}};
  (Upper() / "socket").native().copy(address.sun_path, sizeof address.sun_path - 1);
  ASSERT_EQ(::bind(socket, reinterpret_cast<const sockaddr*>(&address), sizeof address), 0);
  ::close(socket);
  const std::vector<TarEntry> entries = Entries();
  ASSERT_THAT(entries, SizeIs(4));
  EXPECT_EQ(entries[0].type, TarType::kSymlink);
  EXPECT_EQ(entries[0].link_name, "../target");
  EXPECT_EQ(entries[1].type, TarType::kBlock);
  EXPECT_EQ(entries[1].device_major, 8U);
  EXPECT_EQ(entries[1].device_minor, 300U);
  EXPECT_EQ(entries[2].type, TarType::kCharacter);
  EXPECT_EQ(entries[3].type, TarType::kFifo);
}

TEST_F(UpperTarTest, FilesWithSeveralNamesAreOneFile) {
  MakeDirectory("d");
  MakeFile("d/first", "content");
  std::filesystem::create_hard_link(Upper() / "d/first", Upper() / "second");
  MakeNode("node", S_IFCHR | 0600, ::makedev(1, 5));
  std::filesystem::create_hard_link(Upper() / "node", Upper() / "node-2");
  const std::vector<TarEntry> entries = Entries();
  ASSERT_THAT(entries, SizeIs(5));
  EXPECT_EQ(entries[1].name, "d/first");
  EXPECT_EQ(entries[1].type, TarType::kRegular);
  EXPECT_EQ(entries[3].type, TarType::kHardlink);
  EXPECT_EQ(entries[3].link_name, "node");
  EXPECT_EQ(entries[4].name, "second");
  EXPECT_EQ(entries[4].type, TarType::kHardlink);
  EXPECT_EQ(entries[4].link_name, "d/first");
  EXPECT_EQ(entries[4].size_bytes, 0U);
}

TEST_F(UpperTarTest, WhatWasRemovedIsAWhiteout) {
  MakeDirectory("d");
  MakeNode("d/gone", S_IFCHR, ::makedev(0, 0));
  MakeFile("replaced-by-attribute");
  SetXattr("replaced-by-attribute", "trusted.overlay.whiteout", "");
  EXPECT_THAT(Names(), ElementsAre("d/", "d/.wh.gone", ".wh.replaced-by-attribute"));
}

TEST_F(UpperTarTest, ADirectoryThatHidesWhatIsBelowHasItsMarkFirst) {
  MakeDirectory("new");
  MakeDirectory("replaced");
  MakeFile("replaced/-");
  for (const char* name : {"new", "replaced"}) {
    SetXattr(name, "trusted.overlay.opaque", "y");
  }
  EXPECT_THAT(Names(), ElementsAre("new/", "new/.wh..wh..opq", "replaced/", "replaced/.wh..wh..opq",
                                   "replaced/-"));
  EXPECT_THAT(Names({.is_below = [](const std::string& path) { return path == "replaced"; }}),
              ElementsAre("new/", "replaced/", "replaced/.wh..wh..opq", "replaced/-"));
}

TEST_F(UpperTarTest, KeepsAttributesThatMeanTheSameElsewhere) {
  const std::string capability("\x01\0\0\x02\0\x04\0\0\0\0\0\0\0\0\0\0\0\0\0\0", 20);
  MakeFile("f");
  SetXattr("f", "security.capability", capability);
  SetXattr("f", "trusted.overlay.origin", "this disk's");
  SetXattr("f", "trusted.mine", "kept");
  EXPECT_THAT(OnlyEntry().xattrs, ElementsAre(Pair("security.capability", ToBytes(capability)),
                                              Pair("trusted.mine", ToBytes("kept"))));
}

TEST_F(UpperTarTest, NoTimeIsLaterThanTheLatest) {
  MakeFile("early");
  MakeFile("late");
  SetTime("early", {.tv_sec = -5, .tv_nsec = 0});
  SetTime("late", {.tv_sec = 2'000'000'000, .tv_nsec = 0});
  const std::vector<TarEntry> entries = Entries({.latest_modified_seconds = 1'500'000'000});
  ASSERT_THAT(entries, SizeIs(2));
  EXPECT_EQ(entries[0].modified_seconds, -5);
  EXPECT_EQ(entries[1].modified_seconds, 1'500'000'000);
}

TEST_F(UpperTarTest, LeavesOutWhatIsNotOfTheLayer) {
  MakeDirectory("run");
  MakeDirectory("run/secrets");
  MakeFile("run/secrets/key");
  MakeFile("run/pid");
  MakeFile("secrets");
  EXPECT_THAT(Names({.left_out = {"run/secrets", "nowhere"}}),
              ElementsAre("run/", "run/pid", "secrets"));
}

TEST_F(UpperTarTest, ReadsHolesAsZeros) {
  MakeFile("sparse");
  ASSERT_EQ(::truncate((Upper() / "sparse").c_str(), 3 << 20), 0);
  EXPECT_EQ(OnlyEntry().size_bytes, 3U << 20);
  EXPECT_EQ(contents_["sparse"], std::string(3 << 20, '\0'));
}

TEST_F(UpperTarTest, TheSameFilesAreTheSameBytes) {
  for (const char* name : {"b", "a", "c"}) {
    MakeFile(name, name);
    SetTime(name, {.tv_sec = 7, .tv_nsec = 0});
  }
  const Bytes first = Tar().value();
  std::filesystem::remove_all(Upper());
  std::filesystem::create_directory(Upper());
  for (const char* name : {"c", "b", "a"}) {
    MakeFile(name, name);
    SetTime(name, {.tv_sec = 7, .tv_nsec = 5});
  }
  EXPECT_EQ(Tar().value(), first);
}

TEST_F(UpperTarTest, RefusesWhatALayerCannotSay) {
  struct Case {
    const char* name;
    std::function<void()> make;
    StatusCode code;
    const char* says;
  };
  const Case cases[] = {
      {"a name that is a whiteout", [this] { MakeFile("x/.wh.f"); },
       StatusCode::kFailedPrecondition, "/x/.wh.f: in a layer this name means"},
      {"a moved directory",
       [this] {
         MakeDirectory("x/moved");
         SetXattr("x/moved", "trusted.overlay.redirect", "/old");
       },
       StatusCode::kFailedPrecondition, "/x/moved: only a part of it is here"},
      {"a file without its content",
       [this] {
         MakeFile("x/f");
         SetXattr("x/f", "trusted.overlay.metacopy", "");
       },
       StatusCode::kFailedPrecondition, "redirect_dir=on and metacopy=on"},
      {"too deep",
       [this] {
         std::string path = "x";
         for (size_t i = 0; i < UpperTar::kMaxDepth; ++i) {
           path += "/d";
           MakeDirectory(path);
         }
       },
       StatusCode::kResourceExhausted, "more than 500 levels deep, at /x/d/d"},
  };
  for (const Case& c : cases) {
    SCOPED_TRACE(c.name);
    MakeDirectory("x");
    c.make();
    const Status status = Tar().status();
    EXPECT_EQ(status.code(), c.code);
    EXPECT_THAT(std::string(MessageOf(status)), HasSubstr(c.says));
    std::filesystem::remove_all(Upper() / "x");
  }
}

TEST_F(UpperTarTest, AFileThatShrinksIsAnError) {
  MakeFile("f", std::string(1 << 20, 'f'));
  const auto tar = UpperTar::Open(Upper(), {});
  ASSERT_TRUE(tar.ok()) << tar.status();
  Bytes some(1000);
  ASSERT_TRUE((*tar)->Read(some).ok());
  ASSERT_EQ(::truncate((Upper() / "f").c_str(), 10), 0);
  const Status status = ReadAll(**tar, 1 << 26).status();
  EXPECT_EQ(status.code(), StatusCode::kAborted);
  EXPECT_THAT(std::string(MessageOf(status)), HasSubstr("/f shrank"));
}

TEST_F(UpperTarTest, NeedsADirectory) {
  EXPECT_EQ(UpperTar::Open(Upper() / "nowhere", {}).status().code(), StatusCode::kNotFound);
  MakeFile("f");
  EXPECT_FALSE(UpperTar::Open(Upper() / "f", {}).ok());
}

}  // namespace
}  // namespace starling::diff
