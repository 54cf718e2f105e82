#include "dockerfile/python/release_table.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "dockerfile/python/sums.h"

namespace starling::dockerfile::python {
namespace {

using ::testing::HasSubstr;

bool Always(const Release&) { return true; }

/// A line of a table; files differ in their digests.
std::string Line(const std::string& file) {
  return oci::Digest::Of(AsBytes(file)).Hex() + "  " + file + "\n";
}
std::string File(const std::string& version, const std::string& tag, const std::string& machine,
                 const std::string& flavour = "install_only") {
  return fmt::format("cpython-{}+{}-{}-{}.tar.gz", version, tag, machine, flavour);
}

constexpr const char* kGnu = "x86_64-unknown-linux-gnu";
constexpr const char* kV2 = "x86_64_v2-unknown-linux-gnu";
constexpr const char* kV3 = "x86_64_v3-unknown-linux-gnu";
constexpr const char* kMusl = "x86_64-unknown-linux-musl";
constexpr const char* kArm = "aarch64-unknown-linux-gnu";

ReleaseTable TableOf(const std::vector<std::string>& files) {
  ReleaseTable table;
  for (const std::string& file : files) {
    EXPECT_TRUE(table.Add(Line(file)).ok()) << file;
  }
  return table;
}

TEST(ReleaseTable, ChoosesTheBestThatFits) {
  const ReleaseTable table = TableOf(
      {File("3.12.3", "20240415", kGnu), File("3.12.3", "20240726", kGnu),
       File("3.12.3", "20240726", kGnu, "install_only_stripped"), File("3.12.3", "20240415", kV2),
       File("3.12.3", "20240415", kV3), File("3.12.10", "20250409", kGnu),
       File("3.12.10", "20250409", kMusl), File("3.12.3", "20240415", kArm),
       File("3.11.9", "20240415", kGnu), File("3.13.1", "20250409", kGnu),
       File("3.13.2", "20250409", kGnu, "freethreaded-install_only")});
  struct Case {
    const char* name;
    ReleaseTable::Wanted wanted;
    std::string want;
  };
  const Case cases[] = {
      {"the newest of a series: numbers, not words",
       {"3.12", "amd64", 1, Libc::kGnu},
       File("3.12.10", "20250409", kGnu)},
      {"the newest build of a version, without symbols",
       {"3.12.3", "amd64", 1, Libc::kGnu},
       File("3.12.3", "20240726", kGnu, "install_only_stripped")},
      {"a level that is there",
       {"3.12.3", "amd64", 2, Libc::kGnu},
       File("3.12.3", "20240415", kV2)},
      {"the highest", {"3.12.3", "amd64", 3, Libc::kGnu}, File("3.12.3", "20240415", kV3)},
      {"none above what there is",
       {"3.12.3", "amd64", 4, Libc::kGnu},
       File("3.12.3", "20240415", kV3)},
      {"the newest version before the level",
       {"3.12", "amd64", 3, Libc::kGnu},
       File("3.12.10", "20250409", kGnu)},
      {"musl", {"3.12", "amd64", 3, Libc::kMusl}, File("3.12.10", "20250409", kMusl)},
      {"arm64", {"3.12", "arm64", 1, Libc::kGnu}, File("3.12.3", "20240415", kArm)},
      {"free-threaded",
       {"3.13t", "amd64", 1, Libc::kGnu},
       File("3.13.2", "20250409", kGnu, "freethreaded-install_only")},
      {"not free-threaded", {"3.13", "amd64", 1, Libc::kGnu}, File("3.13.1", "20250409", kGnu)},
  };
  for (const Case& c : cases) {
    const auto chosen = table.Choose(c.wanted, Always);
    ASSERT_TRUE(chosen.ok()) << c.name << chosen.status();
    EXPECT_EQ(chosen->file, c.want) << c.name;
    EXPECT_EQ(chosen->digest, oci::Digest::Of(AsBytes(c.want))) << c.name;
    EXPECT_LE(chosen->cpu, c.wanted.cpu) << c.name;
  }
}

TEST(ReleaseTable, ChoosesOfWhatTheSourceHas) {
  const ReleaseTable table =
      TableOf({File("3.12.3", "20240415", kGnu), File("3.12.10", "20250409", kGnu)});
  const auto old = [](const Release& release) { return release.micro == 3; };
  EXPECT_EQ(table.Choose({"3.12", "amd64", 1, Libc::kGnu}, old)->micro, 3);
}

TEST(ReleaseTable, SaysWhatThereIsInstead) {
  const ReleaseTable table =
      TableOf({File("3.12.3", "20240415", kGnu), File("3.12.3", "20240415", kArm),
               File("3.12.10", "20250409", kV3),
               File("3.13.2", "20250409", kGnu, "freethreaded-install_only")});
  struct Case {
    const char* name;
    ReleaseTable::Wanted wanted;
    const char* want;
    bool is_there = true;
  };
  const Case cases[] = {
      {"another series",
       {"3.9", "amd64", 1, Libc::kGnu},
       "Python 3.9 for amd64 gnu: known are 3.12.3"},
      {"another version",
       {"3.12.4", "amd64", 1, Libc::kGnu},
       "Python 3.12.4 for amd64 gnu: known are 3.12.3"},
      {"another library",
       {"3.12", "amd64", 1, Libc::kMusl},
       "Python 3.12 for amd64 musl: this version is known for amd64 gnu, arm64 gnu alone"},
      {"free-threaded",
       {"3.12t", "amd64", 1, Libc::kGnu},
       "Python 3.12t for amd64 gnu: known are 3.13.2t"},
      {"not in the source",
       {"3.12", "arm64", 1, Libc::kGnu},
       "Python 3.12 for arm64 gnu: the source has no file of it, such as "
       "cpython-3.12.3+20240415-aarch64-unknown-linux-gnu-install_only.tar.gz",
       false},
  };
  for (const Case& c : cases) {
    const auto chosen = table.Choose(c.wanted, [&c](const Release&) { return c.is_there; });
    EXPECT_EQ(chosen.status().code(), StatusCode::kNotFound) << c.name;
    EXPECT_EQ(MessageOf(chosen.status()), c.want) << c.name;
  }
  EXPECT_EQ(table.Choose({"3.x", "amd64", 1, Libc::kGnu}, Always).status().code(),
            StatusCode::kInvalidArgument);
}

TEST(ReleaseTable, NeverABuildForABetterProcessor) {
  const ReleaseTable table = TableOf({File("3.12.3", "20240415", kV3)});
  EXPECT_FALSE(table.Choose({"3.12", "amd64", 1, Libc::kGnu}, Always).ok());
  EXPECT_FALSE(table.Choose({"3.12", "amd64", 2, Libc::kGnu}, Always).ok());
  EXPECT_TRUE(table.Choose({"3.12", "amd64", 3, Libc::kGnu}, Always).ok());
}

TEST(ReleaseTable, ReadsWhatSha256sumWrites) {
  ReleaseTable table;
  const std::string file = File("3.12.3", "20240415", kGnu);
  const std::string hex(64, 'a');
  ASSERT_TRUE(table
                  .Add("# a comment\n\n" + hex + " *" + file + "\r\n" + hex +
                       "  cpython-3.12.3+20240415-x86_64-apple-darwin-install_only.tar.gz\n" + hex +
                       "  SOMETHING")
                  .ok());
  EXPECT_EQ(table.size(), 1U);
  EXPECT_EQ(table.Choose({"3.12", "amd64", 1, Libc::kGnu}, Always)->digest.Hex(), hex);
}

TEST(ReleaseTable, RefusesWhatIsNoTableAndAddsNothingOfIt) {
  const std::string good = Line(File("3.12.3", "20240415", kGnu));
  struct Case {
    const char* name;
    std::string sums;
    const char* want;
  };
  const Case cases[] = {
      {"no digest", good + "x\n", "line 2: this must be"},
      {"a short digest", std::string(63, 'a') + "  file\n", "line 1: this must be"},
      {"capitals", std::string(64, 'A') + "  file\n", "line 1: this must be"},
      {"no name", std::string(64, 'a') + "\n", "line 1: this must be"},
      {"a page of a server", "<html>\n", "line 1: this must be"},
      {"another digest for a file",
       good + std::string(64, 'a') + "  " + File("3.12.3", "20240415", kGnu),
       "is known with another digest: "},
  };
  for (const Case& c : cases) {
    ReleaseTable table;
    const Status added = table.Add(c.sums);
    EXPECT_EQ(added.code(), StatusCode::kInvalidArgument) << c.name;
    EXPECT_THAT(std::string(MessageOf(added)), HasSubstr(c.want)) << c.name;
    EXPECT_EQ(table.size(), 0U) << c.name;
  }
  ReleaseTable table;
  EXPECT_EQ(table.Add(std::string(kMaxSumsBytes + 1, '\n')).code(), StatusCode::kResourceExhausted);
}

}  // namespace
}  // namespace starling::dockerfile::python
