#include "credentials/docker_config.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "base/hex.h"
#include "tests/unit/credentials/helper_programs.h"

namespace starling::credentials {
namespace {

using registry::Credentials;
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

using DockerConfigFiles = HelperPrograms;

TEST_F(DockerConfigFiles, ReadsTheFileAgainWhenItChanges) {
  DockerConfig config(RealFileSystem(), directory_->path() / "config.json");
  EXPECT_EQ(config.Find({"a", ""}).status().code(), StatusCode::kNotFound);
  Write("config.json", R"({"auths":{"a":{"username":"u","password":"p"}}})");
  EXPECT_EQ(config.Find({"a", ""})->password, "p");
  Write("config.json", R"({"auths":{"a":{"username":"u","password":"longer"}}})");
  EXPECT_EQ(config.Find({"a", ""})->password, "longer");
  Write("config.json", "rubbish");
  EXPECT_THAT(Describe(config.Find({"a", ""}).status()), HasSubstr("config.json"));
}

TEST_F(DockerConfigFiles, AsksTheHelperFirst) {
  WriteHelper("good", R"(read server; test "$1" = get || exit 3
echo "{\"ServerURL\":\"$server\",\"Username\":\"$server\",\"Secret\":\"s\"}")");
  Write("config.json", R"({"credsStore":"good","auths":{"a":{"username":"u","password":"p"}}})");
  DockerConfig config(RealFileSystem(), directory_->path() / "config.json");
  EXPECT_EQ(config.Find({"a", ""})->username, "a");
  EXPECT_EQ(config.Find({"docker.io", ""})->username, "https://index.docker.io/v1/");
}

}  // namespace
}  // namespace starling::credentials
