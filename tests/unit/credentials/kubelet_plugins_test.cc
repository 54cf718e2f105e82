#include "credentials/kubelet_plugins.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "tests/support/manual_clock.h"
#include "tests/unit/credentials/helper_programs.h"

namespace starling::credentials {
namespace {

using std::chrono::milliseconds;
using testing::HasSubstr;
using testing::Not;
using testing_support::ManualClock;

TEST(ParseGoDuration, ReadsWhatGoWrites) {
  const struct {
    const char* text;
    int64_t want_ms;  // -1: refused
  } cases[] = {
      {"0", 0},
      {"12h", 12 * 3600'000},
      {"1h30m0s", 90 * 60'000},
      {"1.5s", 1500},
      {"250ms", 250},
      {"1m", 60'000},
      {"2000us", 2},
      {"3000000ns", 3},
      {"0s", 0},
      {"", -1},
      {"12", -1},
      {"h", -1},
      {"-1h", -1},
      {"1h ", -1},
      {"1.2.3s", -1},
      {"1d", -1},
      {"8784h1m", -1},
      {"1e9h", -1},
      {"99999999999999999999h", -1},
  };
  for (const auto& c : cases) {
    const auto parsed = ParseGoDuration(c.text);
    EXPECT_EQ(parsed.ok() ? parsed->count() : -1, c.want_ms) << c.text;
  }
}

constexpr const char* kConfig = R"(apiVersion: kubelet.config.k8s.io/v1
kind: CredentialProviderConfig
providers:
- name: first
  apiVersion: credentialprovider.kubelet.k8s.io/v1
  matchImages: ["*.example", "r.example:5000/team"]
  defaultCacheDuration: 1h0m0s
  args: [get, --verbose]
  env:
  - {name: PROFILE, value: me}
- name: second
  apiVersion: credentialprovider.kubelet.k8s.io/v1beta1
  matchImages: [other.io]
  defaultCacheDuration: "0"
  tokenAttributes: {serviceAccountTokenAudience: x}
)";

TEST(ReadKubeletPlugins, ReadsWhatKubeletReads) {
  const auto plugins = ReadKubeletPlugins(AsBytes(kConfig));
  ASSERT_TRUE(plugins.ok()) << plugins.status();
  ASSERT_EQ(plugins->size(), 2u);
  const KubeletPlugin& first = plugins->front();
  EXPECT_EQ(first.name, "first");
  EXPECT_EQ(first.api_version, "credentialprovider.kubelet.k8s.io/v1");
  EXPECT_THAT(first.match_images, testing::ElementsAre("*.example", "r.example:5000/team"));
  EXPECT_EQ(first.default_cache_duration, std::chrono::hours(1));
  EXPECT_THAT(first.arguments, testing::ElementsAre("get", "--verbose"));
  EXPECT_THAT(first.variables, testing::ElementsAre(testing::Pair("PROFILE", "me")));
  EXPECT_EQ(first.unusable, "");
  EXPECT_THAT(plugins->back().unusable, HasSubstr("service account token"));
}

TEST(ReadKubeletPlugins, SaysWhatIsWrong) {
  const auto changed = [](std::string_view from, std::string_view to) {
    std::string text = kConfig;
    return text.replace(text.find(from), from.size(), to);
  };
  const struct {
    std::string text;
    const char* want;
  } cases[] = {
      {"", "not one document"},
      {"kind: Pod", "no CredentialProviderConfig"},
      {changed("kubelet.config.k8s.io/v1", "other/v1"), "no CredentialProviderConfig"},
      {changed("providers:", "others:"), "no providers"},
      {changed("name: first", "name: ../first"), "not the name of a program"},
      {changed("name: first", "name: 'a b'"), "not the name of a program"},
      {changed("name: first", "name: .."), "not the name of a program"},
      {changed("name: first", "name: second"), "second is there twice"},
      {changed("kubelet.k8s.io/v1\n", "kubelet.k8s.io/v7\n"), "first: its apiVersion must be"},
      {changed("matchImages: [\"*.example\", \"r.example:5000/team\"]", "matchImages: []"),
       "first: it has no matchImages"},
      {changed("1h0m0s", "soon"), "first: \"soon\" is not a duration"},
      {changed("  defaultCacheDuration: 1h0m0s\n", ""), "first: it has no defaultCacheDuration"},
      {changed("name: PROFILE", "name: 'A=B'"), "first: env holds a name"},
  };
  for (const auto& c : cases) {
    EXPECT_THAT(Describe(ReadKubeletPlugins(AsBytes(c.text)).status()), HasSubstr(c.want))
        << c.text;
  }
}

TEST(ReadKubeletAnswer, RepeatsNothingOfItInErrors) {
  const std::string v1 = "credentialprovider.kubelet.k8s.io/v1";
  const auto answer = [&v1](const std::string& rest) {
    return fmt::format(R"({{"kind":"CredentialProviderResponse","apiVersion":"{}",{}}})", v1, rest);
  };
  const auto read = ReadKubeletAnswer(
      answer(R"("cacheKeyType":"Registry","cacheDuration":"6h","auth":{"*.example":{"username":"u",
                "password":"p"}})"),
      v1);
  ASSERT_TRUE(read.ok()) << read.status();
  EXPECT_EQ(read->scope, KubeletAnswer::Scope::kRegistry);
  EXPECT_EQ(read->cache_duration, std::chrono::hours(6));
  EXPECT_EQ(read->logins.front().pattern, "*.example");
  EXPECT_EQ(read->logins.front().credentials.password, "p");
  EXPECT_TRUE(
      ReadKubeletAnswer(answer(R"("cacheKeyType":"Image","auth":null)"), v1)->logins.empty());
  for (const std::string& wrong :
       {std::string("hunter2"), std::string("{}"), answer(R"("cacheKeyType":"hunter2")"),
        answer(R"("cacheKeyType":"Image","cacheDuration":"hunter2")"),
        answer(R"("cacheKeyType":"Image","auth":["hunter2"])"),
        answer(R"("cacheKeyType":"Image","auth":{"a":"hunter2"})")}) {
    const Status status = ReadKubeletAnswer(wrong, v1).status();
    EXPECT_EQ(status.code(), StatusCode::kInvalidArgument) << wrong;
    EXPECT_THAT(Describe(status), Not(HasSubstr("hunter2")));
  }
  EXPECT_FALSE(ReadKubeletAnswer(answer(R"("cacheKeyType":"Image")"), v1 + "beta1").ok());
}

class Plugins : public HelperPrograms {
 protected:
  void WritePlugins(const std::string& match, const std::string& script,
                    const std::string& duration = "1h") {
    Write("config.yaml", fmt::format(R"(apiVersion: kubelet.config.k8s.io/v1
kind: CredentialProviderConfig
providers:
- name: plugin
  apiVersion: credentialprovider.kubelet.k8s.io/v1
  matchImages: ["{}"]
  defaultCacheDuration: {}
  args: [one]
  env: [{{name: TWO, value: two}}]
)",
                                     match, duration));
    Write(
        "plugin",
        fmt::format("#!/bin/sh\ncd {}\necho run >>runs\n{}\n", directory_->path().string(), script),
        0700);
  }
  /// A script that answers with the number of its run as password.
  static std::string Answer(const std::string& scope, const std::string& more = "") {
    return fmt::format(
        R"sh(n=$(wc -l <runs); cat >asked
echo '{{"kind":"CredentialProviderResponse","apiVersion":"credentialprovider.kubelet.k8s.io/v1",{}'\
'"cacheKeyType":"{}","auth":{{"*.example":{{"username":"'"$1-$TWO"'","password":"'$n'"}}}}}}')sh",
        more, scope);
  }
  std::string Find(const std::string& registry, const std::string& repository = "app") {
    const auto found = plugins_.Find({.registry = registry, .repository = repository});
    return found.ok() ? found->password : Describe(found.status());
  }
  std::string Text(const std::string& name) {
    return std::string(AsText(*ReadFile(RealFileSystem(), directory_->path() / name, 1 << 20)));
  }

  ManualClock clock_;
  KubeletPlugins plugins_{RealFileSystem(),
                          clock_,
                          {.config_file = directory_->path() / "config.yaml",
                           .bin_dir = directory_->path(),
                           .timeout = std::chrono::seconds(20)}};
};

TEST_F(Plugins, AreAskedAsKubeletAsks) {
  WritePlugins("*.example", Answer("Image"));
  const auto found = plugins_.Find({.registry = "r.example", .repository = "team/app"});
  ASSERT_TRUE(found.ok()) << found.status();
  EXPECT_EQ(found->username, "one-two");
  EXPECT_EQ(found->renew_at, clock_.Now() + std::chrono::hours(1));
  EXPECT_EQ(Text("asked"),
            R"({"kind":"CredentialProviderRequest",)"
            R"("apiVersion":"credentialprovider.kubelet.k8s.io/v1","image":"r.example/team/app"})");
  EXPECT_THAT(Find("other.io"), HasSubstr("none of them is for other.io/app"));
  EXPECT_EQ(Text("runs"), "run\n");
}

TEST_F(Plugins, AnswersAreKeptForWhatTheySay) {
  const struct {
    const char* scope;
    const char* same_registry;  // the password for another image of the registry
    const char* other_registry;
  } cases[] = {{"Image", "2", "3"}, {"Registry", "1", "2"}, {"Global", "1", "1"}};
  for (const auto& c : cases) {
    SCOPED_TRACE(c.scope);
    KubeletPlugins plugins(RealFileSystem(), clock_,
                           {.config_file = directory_->path() / "config.yaml",
                            .bin_dir = directory_->path(),
                            .timeout = std::chrono::seconds(20)});
    std::filesystem::remove(directory_->path() / "runs");
    WritePlugins("*.example", Answer(c.scope));
    const auto find = [&](const char* registry, const char* repository) {
      return plugins.Find({.registry = registry, .repository = repository})->password;
    };
    EXPECT_EQ(find("r.example", "app"), "1");
    EXPECT_EQ(find("r.example", "app"), "1");
    EXPECT_EQ(find("r.example", "other"), c.same_registry);
    EXPECT_EQ(find("s.example", "app"), c.other_registry);
  }
}

TEST_F(Plugins, AnswersEnd) {
  WritePlugins("*.example", Answer("Image", R"("cacheDuration":"10m",)"));
  EXPECT_EQ(Find("r.example"), "1");
  clock_.Advance(std::chrono::minutes(9));
  EXPECT_EQ(Find("r.example"), "1");
  clock_.Advance(std::chrono::minutes(1));
  EXPECT_EQ(Find("r.example"), "2");
  WritePlugins("*.example", Answer("Global", R"("cacheDuration":"0s",)"));
  clock_.Advance(std::chrono::minutes(10));
  EXPECT_EQ(Find("r.example"), "3");
  EXPECT_EQ(Find("r.example"), "4") << "not to be kept";
  EXPECT_EQ(plugins_.Find({"r.example", "app"})->renew_at,
            std::chrono::steady_clock::time_point::max());
}

TEST_F(Plugins, AreAskedAgainWhenALoginIsRefused) {
  for (const char* scope : {"Image", "Registry", "Global"}) {
    SCOPED_TRACE(scope);
    std::filesystem::remove(directory_->path() / "runs");
    WritePlugins("*.example", Answer(scope));
    clock_.Advance(std::chrono::hours(2));
    const registry::CredentialRequest request{.registry = "r.example", .repository = scope};
    EXPECT_EQ(Find("r.example", scope), "1");
    clock_.Advance(std::chrono::seconds(20));
    plugins_.Refused(request, *plugins_.Find(request));
    EXPECT_EQ(Find("r.example", scope), "2");
  }
}

TEST_F(Plugins, MayMisbehave) {
  const struct {
    const char* script;
    const char* want;
  } cases[] = {
      {"echo hunter2; exit 3", "plugin: it ended with exit code 3"},
      {"echo hunter2", "plugin: its answer is no CredentialProviderResponse"},
      {"echo hunter2 >&2; kill -9 $$", "plugin: it was killed"},
      {"cat /dev/zero", "plugin: its answer is too long"},
  };
  for (const auto& c : cases) {
    SCOPED_TRACE(c.script);
    clock_.Advance(std::chrono::hours(2));
    WritePlugins("*.example", c.script);
    const std::string said = Find("r.example");
    EXPECT_THAT(said, HasSubstr(c.want));
    EXPECT_THAT(said, Not(HasSubstr("hunter2")));
  }
  std::filesystem::remove(directory_->path() / "plugin");
  clock_.Advance(std::chrono::hours(2));
  EXPECT_THAT(Find("r.example"), HasSubstr("No such file"));
  Write("config.yaml", "kind: nothing");
  EXPECT_THAT(Find("r.example"), HasSubstr("config.yaml: it is no CredentialProviderConfig"));
}

}  // namespace
}  // namespace starling::credentials
