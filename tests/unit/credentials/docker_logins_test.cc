#include "credentials/docker_logins.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <thread>

#include "credentials/docker_config.h"
#include "tests/unit/credentials/helper_programs.h"

namespace starling::credentials {
namespace {

using registry::Credentials;
using testing::ElementsAre;
using testing::HasSubstr;
using testing::IsEmpty;
using testing::Not;
using Plaintext = DockerLogins::Plaintext;

TEST(RegistryOfHost, KnowsWhatPeopleWrite) {
  const struct {
    const char* text;
    const char* want;  // empty: refused
  } cases[] = {
      {"ghcr.io", "ghcr.io"},
      {"https://ghcr.io", "ghcr.io"},
      {"https://ghcr.io/v2/", "ghcr.io"},
      {"127.0.0.1:5000", "127.0.0.1:5000"},
      {"http://[::1]:5000/", "[::1]:5000"},
      {"localhost", "localhost"},
      {"docker.io", "docker.io"},
      {"https://index.docker.io/v1/", "docker.io"},
      {"registry-1.docker.io", "docker.io"},
      {"ghcr.io/me/app", ""},
      {"ubuntu", ""},
      {"", ""},
      {"me@ghcr.io", ""},
      {"ghcr.io:", ""},
      {"gh cr.io", ""},
  };
  for (const auto& c : cases) {
    EXPECT_EQ(RegistryOfHost(c.text).value_or(""), c.want) << c.text;
  }
}

class Logins : public HelperPrograms {
 protected:
  std::filesystem::path config() const { return directory_->path() / "config.json"; }
  DockerLogins logins() const { return {RealFileSystem(), config()}; }
  std::string Text() const {
    const auto bytes = ReadFile(RealFileSystem(), config(), 1 << 20);
    return bytes.ok() ? std::string(AsText(*bytes)) : Describe(bytes.status());
  }
  /// A helper that keeps one file for each word it is told.
  void WriteKeeper() {
    WriteHelper("keeper", fmt::format(R"(cd {} || exit 9
case $1 in
store) cat >kept ;;
get) cat kept 2>/dev/null || {{ echo 'credentials not found in native keychain'; exit 1; }} ;;
erase) cat >erased; rm -f kept ;;
esac)",
                                      directory_->path().string()));
  }
  const Credentials login_{.username = "me", .password = "hunter2"};
};

TEST_F(Logins, NeedAHelperOrToBeTold) {
  Write("config.json", R"({"auths":{}})");
  const Status refused = logins().Store("ghcr.io", login_, Plaintext::kRefused).status();
  EXPECT_EQ(refused.code(), StatusCode::kFailedPrecondition);
  EXPECT_THAT(Describe(refused),
              testing::AllOf(HasSubstr("config.json"), HasSubstr("credsStore"),
                             HasSubstr("--plaintext"), Not(HasSubstr("hunter2"))));
  EXPECT_EQ(Text(), R"({"auths":{}})");
}

TEST_F(Logins, AreReadableForTheOwnerAlone) {
  ASSERT_TRUE(logins().Store("ghcr.io", login_, Plaintext::kAllowed).ok());
  struct stat info{};
  ASSERT_EQ(::stat(config().c_str(), &info), 0);
  EXPECT_EQ(info.st_mode & 07777, 0600u);
  EXPECT_EQ(DockerConfig(RealFileSystem(), config()).Find({"ghcr.io", ""})->password, "hunter2");
}

TEST_F(Logins, LeaveTheRestOfTheFile) {
  const std::string before =
      "{\n\t\"HttpHeaders\": {\"X\": \"1\"},\n\t\"auths\": {\n\t\t\"https://ghcr.io/v1/\": "
      "{\"auth\": \"b2xkOm9sZA==\"},\n\t\t\"other\": {\"auth\": \"YTpi\"}\n\t},\n\t\"n\": "
      "1.50\n}\n";
  Write("config.json", before, 0644);
  EXPECT_EQ(*logins().Store("ghcr.io", login_, Plaintext::kAllowed), config());
  EXPECT_EQ(
      Text(),
      "{\n\t\"HttpHeaders\": {\"X\": \"1\"},\n\t\"auths\": {\n\t\t\"other\": {\"auth\": "
      "\"YTpi\"},\n\t\t\"ghcr.io\": {\"auth\":\"bWU6aHVudGVyMg==\"}\n\t},\n\t\"n\": 1.50\n}\n");
  EXPECT_THAT(*logins().Erase("ghcr.io"), ElementsAre(config().string()));
  EXPECT_EQ(Text(),
            "{\n\t\"HttpHeaders\": {\"X\": \"1\"},\n\t\"auths\": {\n\t\t\"other\": {\"auth\": "
            "\"YTpi\"}\n\t},\n\t\"n\": 1.50\n}\n");
  EXPECT_THAT(*logins().Erase("ghcr.io"), IsEmpty());
}

TEST_F(Logins, GoToTheHelper) {
  WriteKeeper();
  const std::string before =
      R"({"credsStore":"keeper","auths":{"docker.io":{"auth":"b2xkOm9sZA=="}}})";
  Write("config.json", before);
  EXPECT_EQ(*logins().Store("docker.io", login_, Plaintext::kRefused), "docker-credential-keeper");
  EXPECT_EQ(Text(), R"({"credsStore":"keeper","auths":{}})") << "what lay there in clear is gone";
  const auto kept = ReadFile(RealFileSystem(), directory_->path() / "kept", 1000);
  EXPECT_EQ(AsText(*kept),
            R"({"ServerURL":"https://index.docker.io/v1/","Username":"me","Secret":"hunter2"})");
  EXPECT_EQ(DockerConfig(RealFileSystem(), config()).Find({"docker.io", ""})->password, "hunter2");
  EXPECT_THAT(*logins().Erase("docker.io"), ElementsAre("docker-credential-keeper"));
  EXPECT_EQ(AsText(*ReadFile(RealFileSystem(), directory_->path() / "erased", 1000)),
            "https://index.docker.io/v1/");
  EXPECT_THAT(*logins().Erase("docker.io"), IsEmpty());
}

TEST_F(Logins, SayWhatAHelperSays) {
  WriteHelper("locked", "echo 'the wallet is locked'; exit 1");
  Write("config.json", R"({"credHelpers":{"ghcr.io":"locked"}})");
  const Status stored = logins().Store("ghcr.io", login_, Plaintext::kAllowed).status();
  EXPECT_THAT(Describe(stored),
              testing::AllOf(HasSubstr("wallet is locked"), Not(HasSubstr("hunter2"))));
  EXPECT_EQ(Text(), R"({"credHelpers":{"ghcr.io":"locked"}})");
}

TEST_F(Logins, KeepALinkToTheFile) {
  Write("real.json", "{}");
  std::filesystem::create_symlink("real.json", config());
  ASSERT_TRUE(logins().Store("ghcr.io", login_, Plaintext::kAllowed).ok());
  EXPECT_TRUE(std::filesystem::is_symlink(config()));
  EXPECT_THAT(Text(), HasSubstr("ghcr.io"));
}

TEST_F(Logins, DoNotLoseOthersOfTheSameTime) {
  std::vector<std::thread> threads;
  for (int number = 0; number < 8; ++number) {
    threads.emplace_back([this, number] {
      EXPECT_TRUE(
          logins().Store(fmt::format("r{}.example", number), login_, Plaintext::kAllowed).ok());
    });
  }
  for (std::thread& thread : threads) {
    thread.join();
  }
  DockerConfig read(RealFileSystem(), config());
  for (int number = 0; number < 8; ++number) {
    EXPECT_TRUE(read.Find({fmt::format("r{}.example", number), ""}).ok()) << number;
  }
}

TEST_F(Logins, RefuseAFileThatIsBroken) {
  for (const char* text : {"rubbish", "[]", R"({"auths":[]})"}) {
    Write("config.json", text);
    EXPECT_FALSE(logins().Store("ghcr.io", login_, Plaintext::kAllowed).ok()) << text;
    EXPECT_EQ(Text(), text);
  }
  Write("config.json", "{}");
  EXPECT_EQ(logins()
                .Store("ghcr.io", {.username = "a:b", .password = "p"}, Plaintext::kAllowed)
                .status()
                .code(),
            StatusCode::kInvalidArgument);
}

}  // namespace
}  // namespace starling::credentials
