#include "registry/docker_config.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <sys/stat.h>

#include <cstdlib>
#include <fstream>

#include "base/hex.h"
#include "base/temp_dir.h"
#include "registry/credential_helper.h"

namespace starling::registry {
namespace {

using testing::HasSubstr;
using testing::Not;

std::string Show(const StatusOr<DockerConfigEntry>& entry) {
  if (!entry.ok()) return Describe(entry.status());
  const Credentials& c = entry->credentials;
  return fmt::format("helper={} user={} password={} identity={}", entry->helper, c.username,
                     c.password, c.identity_token);
}

TEST(FindInDockerConfig, KnowsAllWaysToNameARegistry) {
  const std::string auth = Base64Encode(AsBytes("user:pa:ss"));
  const auto config = [&](const std::string& key) {
    return fmt::format(R"({{"auths":{{"{}":{{"auth":"{}"}}}}}})", key, auth);
  };
  const std::string found = "helper= user=user password=pa:ss identity=";
  const std::string none = "helper= user= password= identity=";
  const struct {
    const char* key;
    const char* registry;
    const std::string& want;
  } cases[] = {
      {"https://index.docker.io/v1/", "docker.io", found},
      {"docker.io", "docker.io", found},
      {"registry-1.docker.io", "docker.io", found},
      {"ghcr.io", "ghcr.io", found},
      {"https://ghcr.io/v1/", "ghcr.io", found},
      {"http://127.0.0.1:5000", "127.0.0.1:5000", found},
      {"127.0.0.1:5000", "127.0.0.1:5001", none},
      {"ghcr.io", "evil-ghcr.io", none},
      {"ghcr.io", "docker.io", none},
  };
  for (const auto& c : cases) {
    SCOPED_TRACE(fmt::format("{} in {}", c.registry, c.key));
    EXPECT_EQ(Show(FindInDockerConfig(config(c.key), c.registry)), c.want);
  }
}

TEST(FindInDockerConfig, ReadsTheOtherFields) {
  EXPECT_EQ(Show(FindInDockerConfig(
                R"({"auths":{"a":{"username":"u","password":"p","identitytoken":"i"}}})", "a")),
            "helper= user=u password=p identity=i");
  const char* helpers = R"({"credsStore":"all","credHelpers":{"a":"one"},"auths":{"a":{}}})";
  EXPECT_EQ(Show(FindInDockerConfig(helpers, "a")), "helper=one user= password= identity=");
  EXPECT_EQ(Show(FindInDockerConfig(helpers, "b")), "helper=all user= password= identity=");
  EXPECT_EQ(Show(FindInDockerConfig("{}", "b")), "helper= user= password= identity=");
}

TEST(FindInDockerConfig, NamesTheKeyButNeverTheSecret) {
  const struct {
    const char* text;
    const char* key;
  } cases[] = {
      {R"({"auths":{"a":{"auth":"hunter2!"}}})", "auths.a.auth"},
      {R"({"auths":{"a":{"auth":"aHVudGVyMg=="}}})", "auths.a.auth"},
      {R"({"auths":{"a":{"password":["hunter2"]}}})", "auths.a.password"},
      {R"({"auths":{"a":"hunter2"}})", "auths.a"},
      {R"({"auths":["hunter2"]})", "auths"},
      {R"({"credHelpers":{"a":1}})", "credHelpers.a"},
      {R"({"credsStore":{}})", "credsStore"},
      {R"(["hunter2"])", "JSON object"},
      {R"({"hunter2)", "JSON object"},
  };
  for (const auto& c : cases) {
    SCOPED_TRACE(c.text);
    const Status status = FindInDockerConfig(c.text, "a").status();
    EXPECT_EQ(status.code(), StatusCode::kInvalidArgument);
    EXPECT_THAT(Describe(status), testing::AllOf(HasSubstr(c.key), Not(HasSubstr("hunter2"))));
  }
}

class DockerConfigFiles : public testing::Test {
 protected:
  void Write(const std::string& name, const std::string& text, mode_t mode = 0600) {
    const auto path = directory_->path() / name;
    std::ofstream(path) << text;
    ASSERT_EQ(::chmod(path.c_str(), mode), 0);
  }
  void WriteHelper(const std::string& name, const std::string& script) {
    Write("docker-credential-" + name, "#!/bin/sh\n" + script + "\n", 0700);
  }
  void SetUp() override {
    ASSERT_TRUE(directory_.ok());
    old_path_ = std::getenv("PATH");
    ::setenv("PATH", (directory_->path().string() + ":" + old_path_).c_str(), 1);
  }
  void TearDown() override { ::setenv("PATH", old_path_.c_str(), 1); }

  StatusOr<TempDir> directory_ = TempDir::Make("/tmp", "starling-docker-config-");
  std::string old_path_;
};

TEST_F(DockerConfigFiles, ReadsTheFileAgainWhenItChanges) {
  DockerConfig config(RealFileSystem(), directory_->path() / "config.json");
  EXPECT_TRUE(config.Find("a")->anonymous()) << "no file is no error";
  Write("config.json", R"({"auths":{"a":{"username":"u","password":"p"}}})");
  EXPECT_EQ(config.Find("a")->password, "p");
  Write("config.json", R"({"auths":{"a":{"username":"u","password":"longer"}}})");
  EXPECT_EQ(config.Find("a")->password, "longer");
  Write("config.json", "rubbish");
  EXPECT_THAT(Describe(config.Find("a").status()), HasSubstr("config.json"));
}

TEST_F(DockerConfigFiles, AsksTheHelperFirst) {
  WriteHelper("good", R"(read server; test "$1" = get || exit 3
echo "{\"ServerURL\":\"$server\",\"Username\":\"$server\",\"Secret\":\"s\"}")");
  Write("config.json", R"({"credsStore":"good","auths":{"a":{"username":"u","password":"p"}}})");
  DockerConfig config(RealFileSystem(), directory_->path() / "config.json");
  EXPECT_EQ(config.Find("a")->username, "a");
  EXPECT_EQ(config.Find("docker.io")->username, "https://index.docker.io/v1/");
}

TEST_F(DockerConfigFiles, HelpersMayMisbehave) {
  WriteHelper("token", R"(echo '{"Username":"<token>","Secret":"id"}')");
  WriteHelper("none", "echo 'credentials not found in native keychain'; exit 1");
  WriteHelper("fails", "echo 'the wallet is locked'; exit 1");
  WriteHelper("hangs", "sleep 1000");
  WriteHelper("leaves-a-child", "sleep 1000 & echo '{}'");
  WriteHelper("floods", "cat /dev/zero");
  WriteHelper("silent", "exit 0");
  const auto ask = [](const char* name, int milliseconds) {
    return AskCredentialHelper(name, "a", std::chrono::milliseconds(milliseconds));
  };
  EXPECT_EQ(ask("token", 20000)->identity_token, "id");
  EXPECT_TRUE(ask("none", 20000)->anonymous());
  EXPECT_THAT(Describe(ask("fails", 20000).status()),
              testing::AllOf(HasSubstr("docker-credential-fails"), HasSubstr("wallet is locked")));
  EXPECT_EQ(ask("hangs", 100).status().code(), StatusCode::kDeadlineExceeded);
  EXPECT_EQ(ask("leaves-a-child", 300).status().code(), StatusCode::kDeadlineExceeded);
  EXPECT_EQ(ask("floods", 20000).status().code(), StatusCode::kResourceExhausted);
  EXPECT_EQ(ask("silent", 20000).status().code(), StatusCode::kUnauthenticated);
  EXPECT_EQ(ask("missing", 20000).status().code(), StatusCode::kNotFound);
  for (const char* name : {"", "../x", "a b", "a;b", "$(x)"}) {
    EXPECT_EQ(ask(name, 20000).status().code(), StatusCode::kInvalidArgument) << name;
  }
}

}  // namespace
}  // namespace starling::registry
