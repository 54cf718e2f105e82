#include "dockerfile/python/tree_store.h"

#include <gmock/gmock.h>

#include "tests/support/test_server.h"
#include "tests/unit/dockerfile/python/tree_fixture.h"

namespace starling::dockerfile::python {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;
using testing_support::ServedRequest;
using testing_support::ServedResponse;
using testing_support::TestServer;

constexpr const char* kFile =
    "cpython-3.12.3+20240415-x86_64-unknown-linux-gnu-install_only.tar.gz";

class TreeStoreTest : public TreeFixture {
 protected:
  void SetUp() override {
    ASSERT_EQ(::geteuid(), 0U) << "needs root";
    Write("tree/python/bin/python3.12", Program("/lib64/ld-linux-x86-64.so.2"));
    Write("tree/python/bin/pip3.12", "#!/install/bin/python3.12\n");
    Run("ln -s python3.12 tree/python/bin/python3; find tree -exec touch -h -d @1000 {} +; mkdir "
        "source scratch");
    release_ = *ParseReleaseFile(kFile);
    Pack("source/" + std::string(kFile), "python");
  }
  /// An archive of `path`, which becomes the release's.
  void Pack(const std::string& archive, const std::string& path) {
    Run("tar -C tree -czf " + archive + " " + path);
    release_.digest = oci::Digest::Of(AsBytes(Content(archive)));
  }
  StatusOr<std::filesystem::path> Provide(const std::string& source) {
    return TreeStore(Path("store"))
        .Provide(release_, ReleaseSource(source), Path("scratch"),
                 [this](const std::string& place) { fetched_.push_back(place); }, {});
  }
  /// Nothing is in the store, and nothing is left beside it.
  void ExpectNothing(const std::string& name) const {
    EXPECT_TRUE(!std::filesystem::exists(Path("store")) || std::filesystem::is_empty(Path("store")))
        << name;
    EXPECT_TRUE(std::filesystem::is_empty(Path("scratch"))) << name;
  }

  Release release_;
  std::vector<std::string> fetched_;
};

TEST_F(TreeStoreTest, UnpacksOnceAndRepairs) {
  const auto first = Provide(Path("source"));
  ASSERT_TRUE(first.ok()) << first.status();
  EXPECT_EQ(testing_support::ReadWhole(*first / "python/bin/pip3.12"),
            "#!/usr/local/bin/python3.12\n");
  EXPECT_EQ(std::filesystem::read_symlink(*first / "python/bin/python"), "python3");
  std::filesystem::remove_all(Path("source"));
  const auto second = Provide(Path("source"));
  ASSERT_TRUE(second.ok()) << second.status();
  EXPECT_EQ(*first, *second);
  EXPECT_THAT(fetched_, ElementsAre(Path("source") / kFile));
  EXPECT_TRUE(std::filesystem::is_empty(Path("scratch")));
}

TEST_F(TreeStoreTest, ADirectoryMayHaveFilesBelowTheirReleases) {
  Run(std::string("mkdir source/20240415; mv source/") + kFile + " source/20240415");
  EXPECT_TRUE(ReleaseSource(Path("source")).Has(release_.Released()));
  EXPECT_TRUE(Provide(Path("source")).ok());
  EXPECT_FALSE(ReleaseSource(Path("scratch")).Has(release_.Released()));
}

TEST_F(TreeStoreTest, AFullArchiveHasItsTreeBelow) {
  Run("mkdir tree/full; mv tree/python tree/full/install; mkdir tree/full/build; mv tree/full "
      "tree/python");
  Pack(std::string("source/") + kFile, "python");
  const auto provided = Provide(Path("source"));
  ASSERT_TRUE(provided.ok()) << provided.status();
  EXPECT_TRUE(std::filesystem::exists(*provided / "python/bin/pip3"));
  EXPECT_FALSE(std::filesystem::exists(*provided / "python/build"));
}

TEST_F(TreeStoreTest, FetchesFromAMirror) {
  const std::string archive = Content(std::string("source/") + kFile);
  TestServer server([&](const ServedRequest& request) -> ServedResponse {
    return request.target ==
                   "/mirror/20240415/"
                   "cpython-3.12.3%2B20240415-x86_64-unknown-linux-gnu-install_only.tar.gz"
               ? ServedResponse{.body = archive}
               : ServedResponse{.status = 404};
  });
  EXPECT_TRUE(ReleaseSource(server.url() + "/mirror").Has(release_.Released())) << "asked nobody";
  const auto provided = Provide(server.url() + "/mirror/");
  ASSERT_TRUE(provided.ok()) << provided.status();
  EXPECT_TRUE(std::filesystem::exists(*provided / "python/bin/python3"));
  EXPECT_TRUE(Provide(server.url() + "/mirror").ok());
  EXPECT_EQ(server.requests().size(), 1U);
}

TEST_F(TreeStoreTest, AFileWithAnotherDigestIsNotUnpacked) {
  const std::string archive = Content(std::string("source/") + kFile);
  TestServer server([&](const ServedRequest&) { return ServedResponse{.body = archive}; });
  release_.digest = oci::Digest::Of(AsBytes("another"));
  for (const std::string& source : {Path("source").native(), server.url()}) {
    const auto provided = Provide(source);
    EXPECT_EQ(provided.status().code(), StatusCode::kDataLoss) << source;
    EXPECT_THAT(std::string(MessageOf(provided.status())), HasSubstr("its digest is")) << source;
    ExpectNothing(source);
  }
}

TEST_F(TreeStoreTest, WhatCannotBeUsedLeavesNothing) {
  struct Case {
    const char* name;
    std::string script;  // in the directory, before it is packed
    const char* want;
  };
  const Case cases[] = {
      {"no Python", "rm tree/python/bin/python3", "there is no bin/python3"},
      {"another tree", "mv tree/python/bin tree/python/lib", "there is no python/bin in it"},
  };
  for (const Case& c : cases) {
    Run("cp -a tree saved; " + c.script);
    Pack(std::string("source/") + kFile, "python");
    const auto provided = Provide(Path("source"));
    EXPECT_FALSE(provided.ok()) << c.name;
    EXPECT_THAT(std::string(MessageOf(provided.status())), HasSubstr(c.want)) << c.name;
    EXPECT_THAT(std::string(MessageOf(provided.status())), HasSubstr(kFile)) << c.name;
    ExpectNothing(c.name);
    Run("rm -r tree; mv saved tree");
  }
  Write(std::string("source/") + kFile, "no archive");
  release_.digest = oci::Digest::Of(AsBytes("no archive"));
  EXPECT_FALSE(Provide(Path("source")).ok());
  ExpectNothing("no archive");
}

TEST_F(TreeStoreTest, SaysWhereItLooked) {
  const auto provided = Provide(Path("scratch"));
  EXPECT_EQ(provided.status().code(), StatusCode::kNotFound);
  EXPECT_THAT(std::string(MessageOf(provided.status())), HasSubstr(Path("scratch") / kFile));
  TestServer server([](const ServedRequest&) { return ServedResponse{.status = 404}; });
  const auto served = Provide(server.url());
  EXPECT_EQ(served.status().code(), StatusCode::kNotFound);
  EXPECT_THAT(std::string(MessageOf(served.status())), HasSubstr(server.url() + "/20240415/"));
}

TEST_F(TreeStoreTest, ClearRemovesAllTrees) {
  ASSERT_TRUE(Provide(Path("source")).ok());
  EXPECT_EQ(TreeStore(Path("store")).Clear()->trees, 1U);
  EXPECT_TRUE(std::filesystem::is_empty(Path("store")));
  EXPECT_EQ(TreeStore(Path("nowhere")).Clear()->trees, 0U);
}

}  // namespace
}  // namespace starling::dockerfile::python
