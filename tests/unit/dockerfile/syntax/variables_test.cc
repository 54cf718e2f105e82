#include "dockerfile/syntax/variables.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

namespace starling::dockerfile::syntax {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;

/// The scope at the end of the last stage, which begins with nothing.
Checked<Scope> ScopeOf(std::string_view text, const BuildSettings& settings = {}) {
  const Dockerfile dockerfile = ParseDockerfile(text);
  EXPECT_FALSE(dockerfile.problem) << dockerfile.problem->message;
  const auto globals = GlobalScope(dockerfile, settings);
  if (!globals.ok()) {
    return globals;
  }
  Scope scope;
  for (const Instruction& instruction : dockerfile.stages.back().instructions) {
    std::optional<Problem> problem;
    if (const auto* arg = std::get_if<Arg>(&instruction.value)) {
      problem = ApplyArg(*arg, settings, &*globals, dockerfile.escape, scope);
    } else {
      problem = ApplyEnv(std::get<Env>(instruction.value), dockerfile.escape, scope);
    }
    if (problem) {
      return *problem;
    }
  }
  return scope;
}

TEST(Scope, TheLastDeclarationDecides) {
  BuildSettings cli;
  cli.arguments["V"] = "cli";
  const struct {
    std::string_view name, text;
    bool given;
    std::optional<std::string> want;
  } cases[] = {
      {"default", "FROM a\nARG V=d", false, "d"},
      {"build argument", "FROM a\nARG V=d", true, "cli"},
      {"global default", "ARG V=g\nFROM a\nARG V", false, "g"},
      {"stage default beats the global one", "ARG V=g\nFROM a\nARG V=s", false, "s"},
      {"global is not visible without ARG", "ARG V=g\nFROM a\nARG W", false, std::nullopt},
      {"ENV after ARG", "FROM a\nARG V=d\nENV V=e", true, "e"},
      {"ARG after ENV", "FROM a\nENV V=e\nARG V", true, "cli"},
      {"ARG without value after ENV", "FROM a\nENV V=e\nARG V", false, "e"},
      {"ARG again keeps its value", "FROM a\nARG V=d\nARG V", false, "d"},
      {"empty is set", "FROM a\nARG V=", false, ""},
      {"expanded", "FROM a\nENV A=1\nARG V=$A-${B:-2}", false, "1-2"},
      {"one ENV sees what was before it", "FROM a\nENV V=1\nENV A=x V=2$V", false, "21"},
  };
  for (const auto& c : cases) {
    SCOPED_TRACE(c.name);
    const auto scope = ScopeOf(c.text, c.given ? cli : BuildSettings{});
    ASSERT_TRUE(scope.ok()) << scope.status().message;
    EXPECT_EQ(scope->Find("V"), c.want);
  }
}

TEST(Scope, TheImageKeepsWhatEnvSaid) {
  const auto scope = ScopeOf("FROM a\nENV A=1 B=2\nARG A=9 C=3\nENV A=4\nARG A=5");
  EXPECT_THAT(scope->environment(), ElementsAre(Variable{"A", "4"}, Variable{"B", "2"}));
  EXPECT_THAT(scope->arguments(), ElementsAre(Variable{"A", "5"}, Variable{"C", "3"}));
  EXPECT_EQ(scope->Find("A"), "5");
  EXPECT_TRUE(ScopeOf("FROM a\nARG X")->Declares("X"));
  EXPECT_THAT(ScopeOf("FROM a\nARG X\nENV A=1")->Names(), ElementsAre("A", "X"));
}

TEST(GlobalScope, KnowsPlatformsAndTarget) {
  BuildSettings settings;
  settings.build_platform = *oci::Platform::Parse("linux/amd64");
  settings.target_platform = *oci::Platform::Parse("linux/arm/v7");
  settings.arguments["BUILDOS"] = "plan9";
  const Dockerfile dockerfile =
      ParseDockerfile("ARG A=1\nARG B=$A-$TARGETARCH C=$B\nFROM x AS last");
  const auto scope = GlobalScope(dockerfile, settings);
  ASSERT_TRUE(scope.ok());
  EXPECT_EQ(scope->Find("BUILDPLATFORM"), "linux/amd64");
  EXPECT_EQ(scope->Find("BUILDOS"), "plan9");
  EXPECT_EQ(scope->Find("TARGETPLATFORM"), "linux/arm/v7");
  EXPECT_EQ(scope->Find("TARGETVARIANT"), "v7");
  EXPECT_EQ(scope->Find("TARGETSTAGE"), "last");
  EXPECT_EQ(scope->Find("B"), "1-arm");
  EXPECT_EQ(scope->Find("C"), "1-arm") << "one line, one after the other";
  EXPECT_EQ(GlobalScope(ParseDockerfile("FROM x"), settings)->Find("TARGETSTAGE"), "default");
  const auto demanded = GlobalScope(ParseDockerfile("ARG A=${B:?\"say B\"}\nFROM x"), settings);
  ASSERT_FALSE(demanded.ok());
  EXPECT_THAT(demanded.status().message, HasSubstr("say B"));
  EXPECT_EQ(demanded.status().range.begin, (Position{1, 5}));
}

TEST(Scope, IsBounded) {
  std::string text = "FROM a\nENV A=0123456789\n";
  for (int i = 0; i < 20; ++i) {
    text += "ENV A=$A$A\n";
  }
  const auto scope = ScopeOf(text);
  ASSERT_FALSE(scope.ok());
  EXPECT_THAT(scope.status().message, HasSubstr("bytes"));
  std::string again = "ARG A=" + std::string(60000, 'x') + "\n";
  for (int i = 0; i < 300; ++i) {
    again += "ARG B=$A\n";
  }
  const auto globals = GlobalScope(ParseDockerfile(again + "FROM a"), {});
  ASSERT_FALSE(globals.ok());
  EXPECT_THAT(globals.status().message, HasSubstr("one after the other"));
}

}  // namespace
}  // namespace starling::dockerfile::syntax
