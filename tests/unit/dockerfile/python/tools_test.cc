#include "dockerfile/python/tools.h"

#include <gmock/gmock.h>
#include <sys/stat.h>

#include "tests/support/test_server.h"
#include "tests/unit/dockerfile/python/tree_fixture.h"

namespace starling::dockerfile::python {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;
using testing_support::ServedRequest;
using testing_support::ServedResponse;
using testing_support::TestServer;

constexpr const char* kWheel = "uv-0.13.9-py3-none-musllinux_1_1_x86_64.whl";

TEST(ParseToolFile, KnowsStaticProgramsForImages) {
  struct Case {
    const char* file;
    const char* want;  // empty: none of ours
  };
  const Case cases[] = {
      {kWheel, "uv 0.13.9 amd64"},
      {"uv-0.8.0-py3-none-musllinux_1_2_x86_64.whl", "uv 0.8.0 amd64"},
      {"uv-0.13.9-py3-none-manylinux_2_17_aarch64.manylinux2014_aarch64.musllinux_1_1_aarch64.whl",
       "uv 0.13.9 arm64"},
      {"uv-0.13.9-py3-none-manylinux_2_17_x86_64.manylinux2014_x86_64.whl", ""},
      {"uv-0.13.9-py3-none-manylinux_2_17_armv7l.manylinux2014_armv7l.musllinux_1_1_armv7l.whl",
       ""},
      {"uv-0.13.9-py3-none-macosx_11_0_arm64.whl", ""},
      {"uv-0.13.9rc1-py3-none-musllinux_1_1_x86_64.whl", ""},
      {"uv-..-py3-none-musllinux_1_1_x86_64.whl", ""},
      {"uv_build-0.13.9-py3-none-musllinux_1_1_x86_64.whl", ""},
      {"uv-0.13.9-1-py3-none-musllinux_1_1_x86_64.whl", ""},
      {"uv-0.13.9.tar.gz", ""},
      {"2.8.1-0/micromamba-linux-64", "micromamba 2.8.1-0 amd64"},
      {"mirror/2.8.1-0/micromamba-linux-aarch64", "micromamba 2.8.1-0 arm64"},
      {"micromamba-linux-64", ""},
      {"2.8.1rc0-0/micromamba-linux-64", ""},
      {"2.8.1-0/micromamba-linux-64.tar.bz2", ""},
      {"2.8.1-0/micromamba-osx-64", ""},
      {"2.8.1-0/micromamba-linux-ppc64le", ""},
      {"", ""},
  };
  for (const Case& c : cases) {
    const auto parsed = ParseToolFile(c.file);
    EXPECT_EQ(parsed ? fmt::format("{} {} {}", NameOf(parsed->tool), parsed->version,
                                   parsed->architecture)
                     : "",
              c.want)
        << c.file;
  }
}

TEST(ToolTable, ChoosesWhatIsKnown) {
  ToolTable table;
  const std::string a(64, 'a');
  ASSERT_TRUE(table
                  .Add(a + "  fe/12/" + kWheel + "\n" + a +
                       "  uv-0.9.10-py3-none-musllinux_1_1_x86_64.whl\n" + a + "  ruff.whl\n" + a +
                       "  9.0.0-0/micromamba-linux-64\n")
                  .ok());
  const auto exact = table.Choose(Tool::kUv, "0.9.10", "amd64");
  ASSERT_TRUE(exact.ok()) << exact.status();
  EXPECT_EQ(exact->version, "0.9.10");
  EXPECT_EQ(exact->released.directory, "");
  const auto newest = table.Choose(Tool::kUv, "latest", "amd64");
  ASSERT_TRUE(newest.ok()) << newest.status();
  EXPECT_EQ(newest->version, "0.13.9") << "numbers, not words";
  EXPECT_EQ(newest->released.directory, "fe/12");
  EXPECT_EQ(newest->released.digest.Hex(), a);
  EXPECT_EQ(MessageOf(table.Choose(Tool::kUv, "0.8.0", "amd64").status()),
            "uv 0.8.0 for amd64: known are 0.13.9, 0.9.10; add the digest of its file by "
            "--python-table, or name another place of it: --build-context "
            "uv-0.8.0=docker-image://ghcr.io/astral-sh/uv:0.8.0");
  EXPECT_EQ(table.Choose(Tool::kUv, "latest", "arm64").status().code(), StatusCode::kNotFound);
  const Status other = table.Add(std::string(64, 'b') + "  " + kWheel);
  EXPECT_THAT(std::string(MessageOf(other)),
              HasSubstr("line 1: " + std::string(kWheel) + " is known with another digest: " + a));
}

TEST(ToolTable, ChoosesBuildsOfMicromamba) {
  ToolTable table;
  const std::string a(64, 'a');
  ASSERT_TRUE(table
                  .Add(a + "  2.8.1-0/micromamba-linux-64\n" + std::string(64, 'b') +
                       "  2.8.1-10/micromamba-linux-64\n" + a + "  2.8.1-9/micromamba-linux-64\n")
                  .ok())
      << "files of one name, in other directories";
  const struct {
    const char* version;
    const char* want;
  } cases[] = {{"2.8.1-0", "2.8.1-0"}, {"2.8.1", "2.8.1-10"}, {"latest", "2.8.1-10"}};
  for (const auto& c : cases) {
    const auto chosen = table.Choose(Tool::kMicromamba, c.version, "amd64");
    ASSERT_TRUE(chosen.ok()) << c.version << chosen.status();
    EXPECT_EQ(chosen->released.directory, c.want) << c.version;
  }
  EXPECT_EQ(MessageOf(table.Choose(Tool::kMicromamba, "2.8", "amd64").status()),
            "micromamba 2.8 for amd64: known are 2.8.1-0, 2.8.1-10, 2.8.1-9; add the digest of its "
            "file by --python-table, or name another place of it: --build-context "
            "micromamba-2.8=DIRECTORY");
  EXPECT_THAT(std::string(MessageOf(
                  table.Add(std::string(64, 'b') + "  mirror/2.8.1-0/micromamba-linux-64"))),
              HasSubstr("2.8.1-0/micromamba-linux-64 is known with another digest: " + a));
}

TEST(ToolTable, HasAProgramForEachProcessor) {
  const ToolTable table = ToolTable::BuiltIn();
  for (const Tool tool : kTools) {
    for (const char* architecture : {"amd64", "arm64"}) {
      const auto chosen = table.Choose(tool, "latest", architecture);
      ASSERT_TRUE(chosen.ok()) << chosen.status();
      EXPECT_FALSE(chosen->released.directory.empty());
      // What sha256sum says of nothing: a download that failed.
      EXPECT_NE(chosen->released.digest, oci::Digest::Of({}));
    }
  }
}

class ToolStoreTest : public TreeFixture {
 protected:
  void SetUp() override {
    Write("wheel/uv-0.13.9.data/scripts/uv", "the program");
    Write("wheel/uv-0.13.9.dist-info/METADATA", "Name: uv\n");
    Run("mkdir source scratch");
    release_ = *ParseToolFile(kWheel);
    release_.released.directory = "fe/12";
    Pack("uv-0.13.9.data uv-0.13.9.dist-info");
  }
  void Pack(const std::string& paths) {
    Run("cd wheel; rm -f ../source/*; python3 -m zipfile -c ../source/" + std::string(kWheel) +
        " " + paths);
    release_.released.digest = oci::Digest::Of(AsBytes(Content("source/" + std::string(kWheel))));
  }
  StatusOr<std::filesystem::path> Provide(const std::string& source) {
    return ToolStore(Path("store"))
        .Provide(release_, ReleaseSource(source), Path("scratch"),
                 [this](const std::string& place) { fetched_.push_back(place); }, {});
  }

  ToolRelease release_;
  std::vector<std::string> fetched_;
};

TEST_F(ToolStoreTest, UnpacksOnceWhatIsTheSameEverywhere) {
  const auto first = Provide(Path("source"));
  ASSERT_TRUE(first.ok()) << first.status();
  EXPECT_EQ(testing_support::ReadWhole(*first / "uv"), "the program");
  struct stat attributes{};
  ASSERT_EQ(::stat((*first / "uv").c_str(), &attributes), 0);
  EXPECT_EQ(attributes.st_mode & 07777U, 0755U);
  EXPECT_EQ(attributes.st_mtim.tv_sec, 315532800);
  const auto second = Provide(Path("nowhere"));
  ASSERT_TRUE(second.ok()) << second.status();
  EXPECT_EQ(*first, *second);
  EXPECT_THAT(fetched_, ElementsAre(Path("source") / kWheel));
  EXPECT_TRUE(std::filesystem::is_empty(Path("scratch")));
  EXPECT_EQ(ToolStore(Path("store")).Clear()->trees, 1U);
  EXPECT_FALSE(Provide(Path("nowhere")).ok());
}

TEST_F(ToolStoreTest, KeepsAProgramThatIsReleasedAsItIs) {
  Write("source/2.8.1-0/micromamba-linux-64", "the program");
  release_ = *ParseToolFile("2.8.1-0/micromamba-linux-64");
  release_.released.digest = oci::Digest::Of(AsBytes("the program"));
  const auto provided = Provide(Path("source"));
  ASSERT_TRUE(provided.ok()) << provided.status();
  EXPECT_EQ(testing_support::ReadWhole(*provided / "micromamba"), "the program");
  struct stat attributes{};
  ASSERT_EQ(::stat((*provided / "micromamba").c_str(), &attributes), 0);
  EXPECT_EQ(attributes.st_mode & 07777U, 0755U);
  EXPECT_EQ(attributes.st_mtim.tv_sec, 315532800);
  EXPECT_TRUE(std::filesystem::is_empty(Path("scratch")));
  release_.released.digest = oci::Digest::Of(AsBytes("another"));
  EXPECT_EQ(Provide(Path("source")).status().code(), StatusCode::kDataLoss);
}

TEST_F(ToolStoreTest, FetchesFromAnIndex) {
  const std::string wheel = Content("source/" + std::string(kWheel));
  TestServer server([&](const ServedRequest& request) -> ServedResponse {
    return request.target == "/packages/fe/12/" + std::string(kWheel)
               ? ServedResponse{.body = wheel}
               : ServedResponse{.status = 404};
  });
  const auto provided = Provide(server.url() + "/packages/");
  ASSERT_TRUE(provided.ok()) << provided.status();
  EXPECT_TRUE(Provide(server.url()).ok());
  EXPECT_EQ(server.requests().size(), 1U);
}

TEST_F(ToolStoreTest, WhatCannotBeUsedLeavesNothing) {
  const auto expect_failure = [this](const char* name, StatusCode code, const char* want) {
    const auto provided = Provide(Path("source"));
    EXPECT_EQ(provided.status().code(), code) << name << provided.status();
    EXPECT_THAT(std::string(MessageOf(provided.status())), HasSubstr(want)) << name;
    EXPECT_FALSE(std::filesystem::exists(Path("store")) &&
                 !std::filesystem::is_empty(Path("store")))
        << name;
    EXPECT_TRUE(std::filesystem::is_empty(Path("scratch"))) << name;
  };
  release_.released.digest = oci::Digest::Of(AsBytes("another"));
  expect_failure("another digest", StatusCode::kDataLoss, "its digest is");
  Pack("uv-0.13.9.dist-info");
  expect_failure("no program", StatusCode::kNotFound,
                 "there is no uv-0.13.9.data/scripts/uv in it");
  Write("source/" + std::string(kWheel), "no zip");
  release_.released.digest = oci::Digest::Of(AsBytes("no zip"));
  expect_failure("no zip", StatusCode::kDataLoss, kWheel);
}

}  // namespace
}  // namespace starling::dockerfile::python
