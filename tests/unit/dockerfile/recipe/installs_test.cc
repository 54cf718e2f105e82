#include "dockerfile/recipe/installs.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

namespace starling::dockerfile::recipe {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::IsEmpty;

const std::string kA(64, 'a');
const std::string kB(64, 'b');

std::string Report(const std::string& installs) {
  return R"({"version": "1", "pip_version": "23.2", "install": [)" + installs + "]}";
}
std::string Reported(const std::string& name, const std::string& download, bool is_direct = false) {
  return fmt::format(
      R"({{"download_info": {}, "is_direct": {}, "metadata": {{"name": "{}", "version": "1.0"}}}})",
      download, is_direct, name);
}
std::string Archive(const std::string& info) {
  return R"({"url": "https://index.example/a.whl", "archive_info": )" + info + "}";
}

TEST(LinesOfResolved, OfApt) {
  const auto lines =
      LinesOfResolved(Install::Kind::kApt,
                      "Reading package lists...\n"
                      "NOTE: This is only a simulation!\n"
                      "Inst libc6 [2.36-9+deb12u8] (2.36-9+deb12u9 Debian:12.8/stable [amd64]) []\n"
                      "Inst git (1:2.39.5-0+deb12u2 Debian:12.8/stable, "
                      "Debian-Security:12/stable-security [amd64])\n"
                      "Inst libgomp1:i386 (12.2.0-14 Debian:12.8/stable [i386])\n"
                      "Conf git (1:2.39.5-0+deb12u2 Debian:12.8/stable [amd64])\n",
                      "");
  ASSERT_TRUE(lines.ok()) << lines.status();
  EXPECT_THAT(*lines, ElementsAre("git=1:2.39.5-0+deb12u2", "libc6=2.36-9+deb12u9",
                                  "libgomp1:i386=12.2.0-14"));
  EXPECT_THAT(*LinesOfResolved(Install::Kind::kApt, "git is already the newest version\n", ""),
              IsEmpty());
}

TEST(LinesOfResolved, OfPip) {
  const auto lines = LinesOfResolved(
      Install::Kind::kPip,
      Report(Reported("numpy", Archive(R"({"hash": "sha256=)" + kB +
                                       R"(", "hashes": {"sha256": ")" + kA + R"("}})")) +
             "," + Reported("Old.one", Archive(R"({"hash": "sha256=)" + kB + R"("})")) + "," +
             Reported("direct", Archive(R"({"hashes": {"sha256": ")" + kB + R"("}})"), true)),
      "");
  ASSERT_TRUE(lines.ok()) << lines.status();
  EXPECT_THAT(*lines, ElementsAre("Old.one==1.0 --hash=sha256:" + kB,
                                  "direct @ https://index.example/a.whl --hash=sha256:" + kB,
                                  "numpy==1.0 --hash=sha256:" + kA));
  EXPECT_THAT(*LinesOfResolved(Install::Kind::kPip, Report(""), ""), IsEmpty());
}

TEST(LinesOfResolved, OfUv) {
  const auto lines =
      LinesOfResolved(Install::Kind::kUv,
                      "numpy==2.3.5 \\\n    --hash=sha256:" + kA + " \\\n    --hash=sha256:" + kB +
                          "\nblack==24.1.0 \\\n    --hash=sha256:" + kB + "\n",
                      "Resolved 3 packages in 1ms\nWould install 2 packages\n"
                      " - numpy==1.26.4\n + numpy==2.3.5\n + black==24.1.0\n");
  ASSERT_TRUE(lines.ok()) << lines.status();
  EXPECT_THAT(*lines, ElementsAre("black==24.1.0 --hash=sha256:" + kB,
                                  "numpy==2.3.5 --hash=sha256:" + kA + " --hash=sha256:" + kB));
  EXPECT_THAT(*LinesOfResolved(Install::Kind::kUv, "", "Would make no changes\n"), IsEmpty());
}

TEST(LinesOfResolved, RefusesWhatCannotBeLocked) {
  struct Case {
    const char* name;
    Install::Kind kind;
    std::string resolved;
    std::string plan;
    StatusCode code;
    std::string want;
  };
  const Case cases[] = {
      {"a repository by pip", Install::Kind::kPip,
       Report(Reported("lib", R"({"url": "https://git.example/lib.git",
                                  "vcs_info": {"vcs": "git", "commit_id": "0123"}})",
                       true)),
       "", StatusCode::kFailedPrecondition,
       "lib comes from https://git.example/lib.git, which has no SHA-256"},
      {"a directory by pip", Install::Kind::kPip,
       Report(Reported("lib", R"({"url": "file:///src", "dir_info": {}})", true)), "",
       StatusCode::kFailedPrecondition, "lib comes from file:///src"},
      {"a repository by uv", Install::Kind::kUv, "",
       " + lib==1.0 (from git+https://git.example/lib.git@0123)\n", StatusCode::kFailedPrecondition,
       "lib==1.0 comes from git+https://git.example/lib.git@0123)"},
      {"an index without digests", Install::Kind::kUv, "lib==1.0\n", " + lib==1.0\n",
       StatusCode::kFailedPrecondition, "no SHA-256 of lib==1.0"},
      {"a digest too few", Install::Kind::kUv, "", " + lib==1.0\n", StatusCode::kDataLoss,
       "1 packages are installed, and 0 have digests"},
      {"another program's text", Install::Kind::kUv, "<html>\n", "", StatusCode::kDataLoss,
       "<html>"},
      {"a digest that is none", Install::Kind::kUv, "a==1\n --hash=sha256:zz", " + a==1\n",
       StatusCode::kDataLoss, "--hash=sha256:zz"},
      {"no JSON", Install::Kind::kPip, "{", "", StatusCode::kDataLoss, "pip says"},
      {"other JSON", Install::Kind::kPip, R"({"install": [3]})", "", StatusCode::kDataLoss,
       "pip says"},
      {"a name that is a command", Install::Kind::kPip, Report(Reported("a; rm", Archive("{}"))),
       "", StatusCode::kDataLoss, "pip says"},
      {"a package that is an option", Install::Kind::kApt, "Inst -oX=y (1.0 Debian [amd64])\n", "",
       StatusCode::kDataLoss, "apt-get says"},
      {"a version that is a command", Install::Kind::kApt, "Inst a ($(x) Debian [amd64])\n", "",
       StatusCode::kDataLoss, "apt-get says"},
      {"no version", Install::Kind::kApt, "Inst a\n", "", StatusCode::kDataLoss, "apt-get says"},
  };
  for (const Case& c : cases) {
    const auto lines = LinesOfResolved(c.kind, c.resolved, c.plan);
    EXPECT_EQ(lines.status().code(), c.code) << c.name;
    EXPECT_THAT(std::string(MessageOf(lines.status())), HasSubstr(c.want)) << c.name;
  }
}

TEST(IndexLinesOf, TakesWhereAFileHasItsPackagesFrom) {
  const auto lines = IndexLinesOf(
      "--index-url https://index.example/simple # ours\n"
      "-f wheels/\n  --extra-index-url=https://me:${TOKEN}@more.example/\n"
      "numpy==1.0 --hash=sha256:00\n-r other.txt\n-c constraints.txt\n-e .\n--require-hashes\n"
      "--no-binary :all:\n--find-links https://files.example/a@b\n");
  ASSERT_TRUE(lines.ok()) << lines.status();
  EXPECT_THAT(*lines, ElementsAre("--index-url https://index.example/simple", "-f wheels/",
                                  "--extra-index-url=https://me:${TOKEN}@more.example/",
                                  "--no-binary :all:", "--find-links https://files.example/a@b"));
  const auto refused = IndexLinesOf("a\n-i https://me:secret@index.example/\n");
  EXPECT_EQ(refused.status().code(), StatusCode::kInvalidArgument);
  EXPECT_EQ(std::string(MessageOf(refused.status())).find("secret@"), std::string::npos);
}

}  // namespace
}  // namespace starling::dockerfile::recipe
