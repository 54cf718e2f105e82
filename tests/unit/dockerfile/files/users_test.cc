#include "dockerfile/files/users.h"

#include <gmock/gmock.h>

#include "tests/unit/dockerfile/files/tree_fixture.h"

namespace starling::dockerfile::files {
namespace {

using ::testing::HasSubstr;

class UsersTest : public TreeFixture {
 protected:
  void SetUp() override {
    TreeFixture::SetUp();
    Run("mkdir to/etc; printf 'root:x:0:0:r:/root:/bin/sh\\nbroken line\\nme:x:1000:100::/:\\n"
        "odd:x:-1:0::/:\\nhuge:x:4294967295:0::/:\\n' >to/etc/passwd; "
        "printf 'root:x:0:\\nusers:x:100:\\nwheel:x:10:root,me\\nadm:x:4:me\\n' >to/etc/group");
  }
};

TEST_F(UsersTest, FindsAProcessUser) {
  const std::pair<const char*, UserRecord> cases[] = {{"", {0, 0, {0, 10}}},
                                                      {"root", {0, 0, {0, 10}}},
                                                      {"me", {1000, 100, {100, 10, 4}}},
                                                      {"1000", {1000, 100, {100, 10, 4}}},
                                                      {"1234", {1234, 0, {0}}},
                                                      {"me:wheel", {1000, 10, {10}}},
                                                      {"1234:1235", {1234, 1235, {1235}}},
                                                      {":users", {0, 100, {100}}}};
  for (const auto& [text, want] : cases) {
    const auto user = FindUser(to(), text);
    ASSERT_TRUE(user.ok()) << text << user.status();
    EXPECT_EQ(*user, want) << text;
  }
}

TEST_F(UsersTest, FindsAFilesOwner) {
  const std::pair<const char*, Owner> cases[] = {
      {"1234", {1234, 1234}}, {"1234:5", {1234, 5}}, {"me", {1000, 100}}, {"me:wheel", {1000, 10}},
      {":wheel", {0, 10}},    {":7", {0, 7}},        {"me:", {1000, 100}}};
  for (const auto& [text, want] : cases) {
    const auto owner = FindOwner(to(), text);
    ASSERT_TRUE(owner.ok()) << text << owner.status();
    EXPECT_EQ(*owner, want) << text;
  }
}

TEST_F(UsersTest, RootIsANumberWhateverSomebodyIsCalled) {
  Run("printf '0:x:1000:1000::/:\\nroot:x:0:0::/root:\\n' >to/etc/passwd");
  EXPECT_EQ(FindUser(to(), "0")->uid, 0u);
  EXPECT_EQ(FindUser(to(), "")->uid, 0u);
  EXPECT_EQ(*FindOwner(to(), "0"), (Owner{0, 0}));
}

TEST_F(UsersTest, RefusesWhomNobodyKnows) {
  for (const char* text : {"nobody", "me:nobody", "odd", "huge", "-1", "4294967295"}) {
    EXPECT_EQ(FindUser(to(), text).status().code(), StatusCode::kNotFound) << text;
    EXPECT_EQ(FindOwner(to(), text).status().code(), StatusCode::kNotFound) << text;
  }
  EXPECT_THAT(std::string(MessageOf(FindUser(to(), "nobody").status())), HasSubstr("'nobody'"));
}

TEST_F(UsersTest, NumbersNeedNoFiles) {
  Run("rm -r to/etc");
  EXPECT_EQ(*FindUser(to(), "5:6"), (UserRecord{5, 6, {6}}));
  EXPECT_EQ(*FindUser(to(), ""), (UserRecord{0, 0, {0}}));
  EXPECT_EQ(*FindOwner(to(), "5"), (Owner{5, 5}));
}

TEST_F(UsersTest, ReadsTheTreesOwnFilesOnly) {
  Run("printf 'thief:x:1:1::/:\\n' >outside/passwd; rm to/etc/passwd; "
      "ln -s " +
      Path("outside/passwd").native() + " to/etc/passwd");
  EXPECT_EQ(FindUser(to(), "thief").status().code(), StatusCode::kNotFound);
}

TEST_F(UsersTest, NeitherWaitsForAPipeNorReadsForEver) {
  Run("rm to/etc/passwd; mkfifo to/etc/passwd");
  EXPECT_EQ(FindUser(to(), "me").status().code(), StatusCode::kFailedPrecondition);
  Run("rm to/etc/passwd; truncate -s 1G to/etc/passwd");
  EXPECT_EQ(FindUser(to(), "me").status().code(), StatusCode::kResourceExhausted);
}

}  // namespace
}  // namespace starling::dockerfile::files
