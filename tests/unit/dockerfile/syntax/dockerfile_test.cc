#include "dockerfile/syntax/dockerfile.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <iterator>
#include <string>

#include "tests/support/read_whole.h"

namespace starling::dockerfile::syntax {
namespace {

using ::testing::HasSubstr;

TEST(ParseDockerfile, HasStagesAndGlobalArguments) {
  const Dockerfile dockerfile = ParseDockerfile(
      "# syntax=docker/dockerfile:1\nARG V=1\nFROM a:$V AS b\nRUN x\nFROM b\nARG V\nCMD y\n");
  ASSERT_FALSE(dockerfile.problem) << dockerfile.problem->message;
  EXPECT_EQ(dockerfile.global_arguments.size(), 1U);
  ASSERT_EQ(dockerfile.stages.size(), 2U);
  EXPECT_EQ(dockerfile.stages[0].from().name->value, "b");
  EXPECT_EQ(dockerfile.stages[1].instructions.size(), 2U);
  EXPECT_EQ(dockerfile.FindDirective("syntax")->value, "docker/dockerfile:1");
  EXPECT_EQ(dockerfile.FindDirective("check"), nullptr);
}

TEST(ParseDockerfile, TellsWhyThereIsNothingToBuild) {
  const struct {
    std::string_view text, message;
    int line;
  } cases[] = {
      {"", "no instructions", 0},
      {"# a\n", "no instructions", 1},
      {"ARG A\n", "FROM is missing", 1},
      {"\nRUN x\nFROM a", "in front of the first FROM", 2},
      {"FROM a\nBADCMD\n", "unknown instruction", 2},
  };
  for (const auto& c : cases) {
    SCOPED_TRACE(c.text);
    const Dockerfile dockerfile = ParseDockerfile(c.text);
    ASSERT_TRUE(dockerfile.problem);
    EXPECT_THAT(dockerfile.problem->message, HasSubstr(std::string(c.message)));
    EXPECT_EQ(dockerfile.problem->range.begin.line, c.line);
  }
  EXPECT_EQ(ParseDockerfile("FROM a\nRUN x\nBADCMD").stages[0].instructions.size(), 1U);
}

TEST(ParseDockerfile, ReadsTheExampleOfTheDocumentation) {
  const std::string page = testing_support::ReadWhole(STARLING_SOURCE_DIR "/docs/dockerfile.md");
  const std::string opening = "<!-- example -->\n```dockerfile\n";
  const size_t begin = page.find(opening) + opening.size();
  const Dockerfile dockerfile =
      ParseDockerfile(std::string_view(page).substr(begin, page.find("```\n", begin) - begin));
  ASSERT_FALSE(dockerfile.problem) << dockerfile.problem->message;
  EXPECT_EQ(dockerfile.stages.size(), 2U);
  EXPECT_EQ(std::get<Copy>(dockerfile.stages[1].instructions[1].value).from->value, "$FROM_STAGE");
}

TEST(ParseTrigger, TakesOneInstruction) {
  EXPECT_TRUE(ParseTrigger("COPY . /app").ok());
  EXPECT_TRUE(ParseTrigger("RUN <<E\nx\nE").ok());
  for (const std::string_view bad :
       {"", "FROM a", "MAINTAINER a", "ONBUILD RUN x", "RUN a\nRUN b", "FOO"}) {
    EXPECT_FALSE(ParseTrigger(bad).ok()) << bad;
  }
}

}  // namespace
}  // namespace starling::dockerfile::syntax
