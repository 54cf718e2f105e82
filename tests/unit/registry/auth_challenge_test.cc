#include "registry/auth_challenge.h"

#include <gtest/gtest.h>

namespace starling::registry {
namespace {

std::string Show(const std::vector<AuthChallenge>& challenges) {
  std::string text;
  for (const AuthChallenge& challenge : challenges) {
    text += challenge.scheme + "{";
    for (const auto& [name, value] : challenge.parameters) {
      text += name + "=" + value + ";";
    }
    text += "}";
  }
  return text;
}

TEST(ParseAuthChallenges, ReadsWhatServersSend) {
  const struct {
    const char* name;
    const char* header;
    const char* want;
  } cases[] = {
      {"docker hub",
       R"(Bearer realm="https://auth.docker.io/token",service="registry.docker.io",scope="repository:library/ubuntu:pull")",
       "bearer{realm=https://auth.docker.io/token;scope=repository:library/ubuntu:pull;"
       "service=registry.docker.io;}"},
      {"basic", R"(Basic realm="Registry Realm")", "basic{realm=Registry Realm;}"},
      {"two of them", R"(Basic realm="a", Bearer realm="b",service="c")",
       "basic{realm=a;}bearer{realm=b;service=c;}"},
      {"comma inside quotes", R"(Bearer realm="r",scope="repository:a:pull,push")",
       "bearer{realm=r;scope=repository:a:pull,push;}"},
      {"escaped quote", R"(Basic realm="a\"b\\c")", "basic{realm=a\"b\\c;}"},
      {"unquoted", "Bearer realm=https://a/b , service=c", "bearer{realm=https://a/b;service=c;}"},
      {"upper-case names", R"(BEARER Realm="x")", "bearer{realm=x;}"},
      {"first of two equal names", R"(Basic realm="1",realm="2")", "basic{realm=1;}"},
      {"no end of quotes", R"(Basic realm="abc)", "basic{realm=abc;}"},
      {"backslash at the end", R"(Basic realm="abc\)", "basic{realm=abc\\;}"},
      {"empty", "", ""},
      {"only commas", ",,, ,", ""},
      {"parameter without scheme", "realm=x", ""},
      {"rubbish", "\x01\x02, Basic realm=\"x\"", "basic{realm=x;}"},
      {"scheme alone", "Negotiate", "negotiate{}"},
  };
  for (const auto& c : cases) {
    SCOPED_TRACE(c.name);
    EXPECT_EQ(Show(ParseAuthChallenges(c.header)), c.want);
  }
}

TEST(ParseAuthChallenges, IsBounded) {
  std::string header;
  for (int i = 0; i < 3000; ++i) {
    header += "a, ";
  }
  EXPECT_EQ(ParseAuthChallenges(header).size(), kMaxChallenges);
  std::string parameters = "Basic ";
  for (int i = 0; i < 1000; ++i) {
    parameters += "p" + std::to_string(i) + "=1, ";
  }
  EXPECT_EQ(ParseAuthChallenges(parameters).front().parameters.size(), kMaxChallengeParameters);
}

}  // namespace
}  // namespace starling::registry
