#include "manual/command_tree.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "tests/unit/manual/program.h"

namespace starling::manual {
namespace {

using ::testing::ElementsAre;
using ::testing::IsEmpty;

std::vector<std::string> NamesOf(const std::vector<const Command*>& commands) {
  std::vector<std::string> names;
  names.reserve(commands.size());
  for (const Command* const command : commands) {
    names.push_back(command->name);
  }
  return names;
}

TEST(CommandTreeTest, HasEachCommandThatHelpShows) {
  const Program program;
  const Command command = DescribeCommand(program.app);
  EXPECT_THAT(NamesOf(AllCommands(command)),
              ElementsAre("prog", "prog run", "prog store", "prog store show"));
  EXPECT_EQ(command.description, "Does things");
  EXPECT_EQ(command.footer, "Of all.");
  EXPECT_EQ(command.commands[1].footer, "") << "that of the program";
}

TEST(CommandTreeTest, SaysWhatOptionsTake) {
  const Program program;
  const Command command = DescribeCommand(program.app);
  const Command& run = command.commands[0];
  ASSERT_EQ(run.options.size(), 4U) << "help, name, label, quiet; not what is hidden";
  EXPECT_THAT(run.options[0].names, ElementsAre("-h", "--help"));
  EXPECT_EQ(run.options[0].value, "");
  const Option& name = run.options[1];
  EXPECT_THAT(name.names, ElementsAre("-n", "--name"));
  EXPECT_EQ(name.value, "TEXT");
  EXPECT_EQ(name.default_value, "x-1");
  EXPECT_EQ(name.environment, "PROG_NAME");
  EXPECT_FALSE(name.repeated);
  EXPECT_TRUE(run.options[2].repeated);
  EXPECT_EQ(run.options[3].value, "");
  ASSERT_EQ(run.arguments.size(), 2U);
  EXPECT_EQ(run.arguments[0].value, "IMAGE");
  EXPECT_TRUE(run.arguments[0].required);
  EXPECT_TRUE(run.arguments[1].repeated);
  EXPECT_THAT(run.arguments[0].names, IsEmpty());
}

TEST(CommandTreeTest, KnowsChoices) {
  const Program program;
  const Command command = DescribeCommand(program.app);
  const Option& format = command.commands[1].commands[0].options[1];
  EXPECT_THAT(format.choices, ElementsAre("json", "text"));
  EXPECT_EQ(format.value, "TEXT");
  EXPECT_THAT(command.commands[1].commands[0].options[2].choices, ElementsAre("less", "more"));
  EXPECT_THAT(command.commands[0].options[1].choices, IsEmpty());
}

}  // namespace
}  // namespace starling::manual
