#include "credentials/pull_secrets.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <fstream>

#include "base/hex.h"
#include "base/temp_dir.h"

namespace starling::credentials {
namespace {

using testing::HasSubstr;
using testing::Not;

std::string Config(const std::string& host, const std::string& password) {
  return fmt::format(R"({{"auths":{{"{}":{{"username":"me","password":"{}"}}}}}})", host, password);
}

std::string Manifest(const std::string& type, const std::string& key, const std::string& value) {
  return fmt::format(
      "apiVersion: v1\nkind: Secret\nmetadata: {{name: s}}\ntype: {}\ndata:\n  {}: {}\n", type, key,
      Base64Encode(AsBytes(value)));
}

std::string Show(const StatusOr<std::vector<PatternLogin>>& logins) {
  if (!logins.ok()) return Describe(logins.status());
  std::string shown;
  for (const auto& [pattern, c] : *logins) {
    shown += fmt::format("{}={}:{}{} ", pattern, c.username, c.password, c.identity_token);
  }
  return shown;
}

TEST(ReadPullSecret, KnowsManifestsAndWhatTheyHold) {
  const std::string config = Config("r.example", "p");
  const std::string older = R"({"https://r.example/v1/":{"auth":"bWU6cA==","email":"x@y"}})";
  const std::string modern = "kubernetes.io/dockerconfigjson";
  const std::string legacy = "kubernetes.io/dockercfg";
  const struct {
    std::string text;
    const char* want;
  } cases[] = {
      {config, "r.example=me:p "},
      {older, "https://r.example/v1/=me:p "},
      {Manifest(modern, ".dockerconfigjson", config), "r.example=me:p "},
      {Manifest(legacy, ".dockercfg", older), "https://r.example/v1/=me:p "},
      {Manifest("Opaque", ".dockerconfigjson", config), ""},
      {Manifest(modern, "other", config), ""},
      {"---\n" + Manifest(modern, ".dockerconfigjson", Config("a", "1")) + "---\n---\n" +
           Manifest(modern, ".dockerconfigjson", Config("b", "2")),
       "a=me:1 b=me:2 "},
      {fmt::format("kind: Secret\ntype: {}\nstringData:\n  .dockerconfigjson: '{}'\n", modern,
                   config),
       "r.example=me:p "},
      {fmt::format(R"({{"kind":"List","items":[{{"type":"{}","data":{{".dockerconfigjson":"{}"}}}},
                       {{"type":"Opaque"}}]}})",
                   modern, Base64Encode(AsBytes(config))),
       "r.example=me:p "},
      {"kind: Secret\ntype: kubernetes.io/dockerconfigjson\ndata:\n  .dockerconfigjson: |\n    " +
           Base64Encode(AsBytes(config)).substr(0, 20) + "\n    " +
           Base64Encode(AsBytes(config)).substr(20) + "\n",
       "r.example=me:p "},
      {R"({"auths":{"a":{"identitytoken":"i"},"b":{}}})", "a=:i b=: "},
      {"", ""},
  };
  for (const auto& c : cases) {
    EXPECT_EQ(Show(ReadPullSecret(AsBytes(c.text))), c.want) << c.text;
  }
}

TEST(ReadPullSecret, SaysWhatIsWrongButNoSecret) {
  const std::string modern = "kubernetes.io/dockerconfigjson";
  const struct {
    std::string text;
    const char* want;
  } cases[] = {
      {"hunter2", "no Secret"},
      {"- hunter2\n", "no Secret"},
      {"kind: Pod\nhunter2: x\n", "no Secret"},
      {"a: [hunter2\n", "line 2"},
      {fmt::format("kind: Secret\ntype: {}\ndata: {{.dockerconfigjson: 'hunter2!'}}\n", modern),
       "data..dockerconfigjson is not base64"},
      {Manifest(modern, ".dockerconfigjson", "hunter2"), ".dockerconfigjson: \"auths\""},
      {Manifest(modern, ".dockerconfigjson", R"({"auths":{"a":{"auth":"hunter2!"}}})"),
       "auths.a.auth"},
  };
  for (const auto& c : cases) {
    const std::string shown = Show(ReadPullSecret(AsBytes(c.text)));
    EXPECT_THAT(shown, HasSubstr(c.want)) << c.text;
    EXPECT_THAT(shown, Not(HasSubstr("hunter2")));
  }
}

class PullSecretFiles : public testing::Test {
 protected:
  std::filesystem::path Write(const std::string& name, const std::string& text) {
    const auto path = directory_.path() / name;
    std::filesystem::create_directories(path.parent_path());
    std::ofstream(path) << text;
    return path;
  }
  std::string Find(PullSecrets& secrets, const std::string& registry,
                   const std::string& repository = "app") {
    const auto found = secrets.Find({.registry = registry, .repository = repository});
    return found.ok() ? found->password : Describe(found.status());
  }
  TempDir directory_ = *TempDir::Make("/tmp", "pull-secrets");
};

TEST_F(PullSecretFiles, AreFoundInAllForms) {
  Write("all/a.yaml",
        Manifest("kubernetes.io/dockerconfigjson", ".dockerconfigjson", Config("a.example", "1")));
  Write("all/b.json", Config("b.example", "2"));
  Write("all/notes.txt", "kind: nothing");
  // As kubelet mounts a Secret.
  Write("all/mounted/..2026/.dockerconfigjson", Config("c.example", "3"));
  std::filesystem::create_symlink("..2026", directory_.path() / "all/mounted/..data");
  std::filesystem::create_symlink("..data/.dockerconfigjson",
                                  directory_.path() / "all/mounted/.dockerconfigjson");
  Write("alone/.dockercfg", R"({"d.example":{"username":"me","password":"4"}})");
  const auto file = Write("one", Config("e.example", "5"));
  PullSecrets secrets(RealFileSystem(),
                      {directory_.path() / "all", directory_.path() / "alone", file});
  EXPECT_EQ(Find(secrets, "a.example"), "1");
  EXPECT_EQ(Find(secrets, "b.example"), "2");
  EXPECT_EQ(Find(secrets, "c.example"), "3");
  EXPECT_EQ(Find(secrets, "d.example"), "4");
  EXPECT_EQ(Find(secrets, "e.example"), "5");
  EXPECT_EQ(Find(secrets, "f.example"), "not found: none of 5 files is for f.example/app");
}

TEST_F(PullSecretFiles, AreReadAnew) {
  Write("..1/.dockerconfigjson", Config("r.example", "old"));
  Write("..2/.dockerconfigjson", Config("r.example", "new"));
  const auto data = directory_.path() / "..data";
  std::filesystem::create_symlink("..1", data);
  std::filesystem::create_symlink("..data/.dockerconfigjson",
                                  directory_.path() / ".dockerconfigjson");
  PullSecrets secrets(RealFileSystem(), {directory_.path()});
  EXPECT_EQ(Find(secrets, "r.example"), "old");
  std::filesystem::remove(data);
  std::filesystem::create_symlink("..2", data);
  EXPECT_EQ(Find(secrets, "r.example"), "new");
  Write("more.yaml", Manifest("kubernetes.io/dockerconfigjson", ".dockerconfigjson",
                              Config("s.example", "more")));
  EXPECT_EQ(Find(secrets, "s.example"), "more");
}

TEST_F(PullSecretFiles, GiveTheNextOneWhenSomeWereRefused) {
  Write("a.json", R"({"auths":{"r.example":{"username":"me","password":"host"},
                               "r.example/team":{"username":"me","password":"team"}}})");
  PullSecrets secrets(RealFileSystem(), {directory_.path()});
  const registry::CredentialRequest request{.registry = "r.example", .repository = "team/app"};
  EXPECT_EQ(Find(secrets, "r.example", "team/app"), "team");
  secrets.Refused(request, *secrets.Find(request));
  EXPECT_EQ(Find(secrets, "r.example", "team/app"), "host");
  EXPECT_EQ(Find(secrets, "r.example", "other/app"), "host");
  secrets.Refused(request, *secrets.Find(request));
  EXPECT_EQ(Find(secrets, "r.example", "team/app"), "team") << "from the first again";
}

TEST_F(PullSecretFiles, OneThatIsBrokenHidesNoOther) {
  Write("a.json", "{");
  Write("b.json", Config("r.example", "p"));
  PullSecrets secrets(RealFileSystem(), {directory_.path(), directory_.path() / "missing"});
  EXPECT_EQ(Find(secrets, "r.example"), "p");
  EXPECT_THAT(Find(secrets, "s.example"), HasSubstr("missing"));
  PullSecrets broken(RealFileSystem(), {directory_.path() / "a.json"});
  EXPECT_THAT(Find(broken, "r.example"), HasSubstr("a.json: "));
}

TEST_F(PullSecretFiles, AreBounded) {
  for (size_t number = 0; number <= PullSecrets::kMaxFiles; ++number) {
    Write(fmt::format("{}.txt", number), "");
  }
  PullSecrets secrets(RealFileSystem(), {directory_.path()});
  EXPECT_THAT(Find(secrets, "r.example"), HasSubstr("more than 1000 files"));
}

}  // namespace
}  // namespace starling::credentials
