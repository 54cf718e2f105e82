#include "dockerfile/syntax/lint.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

namespace starling::dockerfile::syntax {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::IsEmpty;

std::vector<std::string> Warnings(std::string_view text, const LintSettings& settings = {}) {
  const LintReport report = Lint(ParseDockerfile(text), settings);
  EXPECT_FALSE(report.problem) << report.problem->message;
  std::vector<std::string> lines;
  for (const LintWarning& warning : report.warnings) {
    lines.push_back(fmt::format("{}:{} {}", warning.range.begin.line, warning.range.begin.column,
                                NameOf(warning.rule)));
  }
  return lines;
}

TEST(Lint, FindsWhatEachRuleIsFor) {
  const struct {
    std::string_view text, bad, good;
  } cases[] = {
      {"1:17 StageNameCasing", "FROM scratch AS Ab", "FROM scratch AS ab"},
      {"1:1 FromAsCasing", "FROM scratch as ab", "from scratch as ab"},
      {"4:1 NoEmptyContinuation", "FROM scratch\nLABEL a=b \\\n\nc=d", "FROM scratch\nLABEL a=b"},
      {"2:1 ConsistentInstructionCasing", "FROM scratch\nLabel a=b", "from scratch\nlabel a=b"},
      {"2:17 DuplicateStageName", "FROM scratch AS a\nFROM scratch AS a",
       "FROM scratch AS a\nFROM scratch AS b"},
      {"1:17 ReservedStageName", "FROM scratch AS context", "FROM scratch AS contexts"},
      {"2:1 JSONArgsRecommended", "FROM scratch\nCMD a", "FROM scratch\nCMD [\"a\"]"},
      {"2:1 MaintainerDeprecated", "FROM scratch\nMAINTAINER a", "FROM scratch\nLABEL a=b"},
      {"1:6 UndefinedArgInFrom", "FROM scratch${X}", "ARG X\nFROM scratch${X}"},
      {"2:6 UndefinedVar", "FROM scratch\nUSER a$X", "FROM scratch\nARG X\nUSER a$X"},
      {"2:9 WorkdirRelativePath", "FROM scratch\nWORKDIR a", "FROM scratch\nWORKDIR /a\nWORKDIR b"},
      {"2:1 MultipleInstructionsDisallowed", "FROM scratch\nCMD [\"a\"]\nCMD [\"b\"]",
       "FROM scratch AS a\nCMD [\"a\"]\nFROM a\nCMD [\"b\"]"},
      {"2:5 LegacyKeyValueFormat", "FROM scratch\nENV a b", "FROM scratch\nENV a=b"},
      {"1:6 RedundantTargetPlatform", "FROM --platform=$TARGETPLATFORM scratch",
       "FROM --platform=$BUILDPLATFORM scratch"},
      {"1:6 FromPlatformFlagConstDisallowed", "FROM --platform=linux/arm64 scratch",
       "FROM --platform=linux/arm64 scratch AS a-arm64"},
      {"2:5 SecretsUsedInArgOrEnv", "FROM scratch\nARG API_KEY", "FROM scratch\nARG KEY_FILE"},
      {"2:6 InvalidDefaultArgInFrom", "ARG X=:\nFROM a$X", "ARG X=:1\nFROM a$X"},
      {"2:8 ExposeProtoCasing", "FROM scratch\nEXPOSE 80/TCP", "FROM scratch\nEXPOSE 80/tcp"},
      {"2:8 ExposeInvalidFormat", "FROM scratch\nEXPOSE 80:80", "FROM scratch\nEXPOSE 80"},
  };
  for (const auto& c : cases) {
    SCOPED_TRACE(c.text);
    EXPECT_THAT(Warnings(c.good), IsEmpty());
    LintSettings settings;
    settings.build.arguments["X"] = ":1";  // what makes an invalid default no error
    const bool undeclared = c.text.find("Undefined") != std::string_view::npos;
    EXPECT_THAT(Warnings(c.bad, undeclared ? LintSettings{} : settings),
                ElementsAre(std::string(c.text)));
  }
}

TEST(Lint, LooksForIgnoredSources) {
  const auto ignore_file = IgnoreFile::Parse("*.log\nbuild");
  LintSettings settings;
  settings.ignore_file = &*ignore_file;
  EXPECT_THAT(Warnings("FROM scratch AS a\nFROM scratch\nCOPY a.log b.txt /x/\nADD ./build/out /\n"
                       "COPY --from=a a.log /\nADD https://host/a.log /\nCOPY . /",
                       settings),
              ElementsAre("3:6 CopyIgnoredFile", "4:5 CopyIgnoredFile"));
  const auto everything = IgnoreFile::Parse("*");
  settings.ignore_file = &*everything;
  EXPECT_THAT(Warnings("FROM scratch\nCOPY . /", settings), ElementsAre("2:6 CopyIgnoredFile"));
}

TEST(Lint, DescriptionsAreAskedForOnlyWhenWanted) {
  const std::string text = "# other words\nARG name=1\nFROM scratch\n";
  EXPECT_THAT(Warnings(text), IsEmpty());
  EXPECT_THAT(Warnings("# check=experimental=all\n" + text),
              ElementsAre("3:1 InvalidDefinitionDescription"));
  EXPECT_THAT(Warnings("# check=experimental=all\n# name of it\nARG name=1\nFROM scratch"),
              IsEmpty());
}

TEST(Lint, OnlyStagesOfTheTargetAreBuilt) {
  const std::string text =
      "FROM scratch AS a\nCMD x\nFROM scratch AS b\nCOPY --from=A /x /\nFROM scratch AS c\nCMD y\n";
  EXPECT_THAT(Warnings(text), ElementsAre("6:1 JSONArgsRecommended"));
  LintSettings settings;
  settings.build.target = "B";
  EXPECT_THAT(Warnings(text, settings), ElementsAre("2:1 JSONArgsRecommended"));
}

TEST(Lint, BaseImagesMaySetAnyVariable) {
  EXPECT_THAT(Warnings("FROM alpine\nUSER $X"), IsEmpty());
  EXPECT_THAT(Warnings("FROM scratch\nENV P=$PATH"), IsEmpty());
  EXPECT_THAT(Warnings("FROM scratch AS a\nONBUILD ENV X=1\nFROM a\nUSER $X"), IsEmpty());
  EXPECT_THAT(Warnings("FROM scratch AS a\nFROM a\nUSER $X"), ElementsAre("3:6 UndefinedVar"));
}

TEST(Lint, ObeysDirectiveAndComments) {
  const std::string stage = "FROM scratch\nCMD x\n";
  EXPECT_THAT(Warnings("# check=skip=JSONArgsRecommended\n" + stage), IsEmpty());
  EXPECT_THAT(Warnings("FROM scratch\n# check=skip=all // on purpose\nCMD x"), IsEmpty());
  EXPECT_TRUE(Lint(ParseDockerfile("# check=error=true\n" + stage), {}).warnings_are_errors);
  LintSettings settings;
  settings.options = CheckOptions{};
  EXPECT_THAT(Warnings("# check=skip=all\n" + stage, settings),
              ElementsAre("3:1 JSONArgsRecommended"));
  const LintReport unknown = Lint(ParseDockerfile("# check=skip=Nope\n" + stage), {});
  EXPECT_EQ(unknown.problem->range.begin, (Position{1, 9}));
}

TEST(Lint, SaysWhyItCannotBeBuilt) {
  const struct {
    std::string_view text, message;
    Position where;
    std::string_view suggestion;
  } cases[] = {
      {"FROM scratch\nBAD", "unknown instruction", {2, 1}, "ADD"},
      {"ARG X\nFROM $X", "has no name", {2, 6}, ""},
      {"FROM a b c@@", "FROM needs", {1, 1}, ""},
      {"FROM BASE", "base image 'BASE'", {1, 6}, ""},
      {"FROM --platform=$TARGETPLATFROM a", "is empty", {1, 6}, "$TARGETPLATFORM"},
      {"FROM --platform=a/b/c/d/e a", "", {1, 6}, ""},
      {"FROM scratch\nENV A=${B:?no B}", "has no '='", {2, 15}, ""},
      {"FROM scratch\nENV A=\"${B:?no B}\"", "no B", {2, 5}, ""},
      {"FROM scratch\nCOPY --from=b /x /\nFROM scratch AS b\nFROM scratch", "", {0, 0}, ""},
      {"FROM scratch AS a\nCOPY --from=b /x /\nFROM scratch AS b\nCOPY --from=a /x /",
       "comes later",
       {2, 6},
       ""},
      {"FROM scratch\nCOPY --from=0 /x /", "no such stage", {2, 6}, ""},
      {"FROM scratch\nCOPY --from=$X /x /", "is empty", {2, 6}, ""},
      {"FROM scratch\nARG M=9\nCOPY --chmod=$M a b", "no mode", {3, 6}, ""},
      {"FROM scratch\nARG P=x\nEXPOSE $P", "no port", {3, 8}, ""},
      {"FROM scratch\nARG S=x\nSTOPSIGNAL $S", "no signal", {3, 12}, ""},
      {"FROM scratch\nVOLUME $V", "is empty", {2, 8}, ""},
      {"FROM scratch\nARG T\nRUN --mount=target=$T x", "target", {3, 5}, ""},
  };
  for (const auto& c : cases) {
    SCOPED_TRACE(c.text);
    const LintReport report = Lint(ParseDockerfile(c.text), {});
    if (c.where.line == 0) {
      EXPECT_FALSE(report.problem) << "a stage that the target does not need";
      continue;
    }
    ASSERT_TRUE(report.problem);
    EXPECT_THAT(report.problem->message, HasSubstr(std::string(c.message)));
    EXPECT_EQ(report.problem->range.begin, c.where);
    EXPECT_EQ(report.problem->suggestion, c.suggestion);
  }
  LintSettings settings;
  settings.build.target = "bulid";
  EXPECT_EQ(Lint(ParseDockerfile("FROM scratch AS build"), settings).problem->suggestion, "build");
}

TEST(Lint, KeepsWarningsInFrontOfAProblem) {
  const LintReport report = Lint(ParseDockerfile("FROM scratch\nMAINTAINER a\nBADCMD"), {});
  EXPECT_TRUE(report.problem);
  EXPECT_EQ(report.warnings.size(), 1U);
}

TEST(Lint, IsBounded) {
  std::string many;
  for (size_t i = 0; i <= kMaxStages; ++i) {
    many += "FROM scratch\n";
  }
  EXPECT_THAT(Lint(ParseDockerfile(many), {}).problem->message, HasSubstr("stages"));
  std::string large = "FROM scratch\nENV A=" + std::string(60000, 'x') + "\n";
  for (int i = 0; i < 500; ++i) {
    large += "LABEL l=$A\n";
  }
  EXPECT_THAT(Lint(ParseDockerfile(large), {}).problem->message, HasSubstr("bytes"));
}

}  // namespace
}  // namespace starling::dockerfile::syntax
