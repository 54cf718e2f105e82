#include "manual/man_page.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "tests/unit/manual/program.h"

namespace starling::manual {
namespace {

using ::testing::HasSubstr;
using ::testing::Not;

TEST(ManPageTest, OfACommand) {
  const Program program;
  const Command command = DescribeCommand(program.app);
  EXPECT_EQ(PageName(command.commands[1].commands[0]), "prog-store-show");
  EXPECT_EQ(
      ManPage(command.commands[0], {.version = "prog 1", .date = "2026-11-29", .above = "prog"}),
      R"(.TH "PROG\-RUN" 1 "2026\-11\-29" "prog 1"
.nh
.ad l
.SH NAME
prog\-run \- Runs 'it'
.SH SYNOPSIS
\fBprog run\fR [\fIOPTIONS\fR] \fIIMAGE\fR [\fIARGUMENT\fR ...]
.SH DESCRIPTION
\&.starts with a dot
and goes on.
.SH ARGUMENTS
.TP
\fIIMAGE\fR
What to run
.TP
\fIARGUMENT\fR
For it (may be repeated)
.SH OPTIONS
.TP
\fB\-h\fR, \fB\-\-help\fR
Print this
.TP
\fB\-n\fR \fITEXT\fR, \fB\-\-name\fR \fITEXT\fR
Called so (default x\-1; environment PROG_NAME)
.TP
\fB\-\-label\fR \fITEXT\fR
Put on it: [a] \e 'b' (may be repeated)
.TP
\fB\-\-quiet\fR
Says nothing
.SH EXAMPLES
.nf
prog run \-n a img
prog run b
.fi
.SH SEE ALSO
\fBprog\fR(1)
)");
}

TEST(ManPageTest, LongWordsMayBeBroken) {
  Command command;
  command.name = "prog";
  command.footer = "https://a/b,c";
  EXPECT_THAT(ManPage(command, {}), HasSubstr("https:/\\:/\\:a/\\:b,\\:c\n"));
}

TEST(ManPageTest, OfACommandWithCommandsNamesTheirPages) {
  const Program program;
  const Command command = DescribeCommand(program.app);
  const std::string page =
      ManPage(command, {.section = 8, .version = "prog 1", .date = "", .above = ""});
  EXPECT_THAT(page, HasSubstr(".SH COMMANDS\n.TP\n\\fBprog\\-run\\fR(8)\nRuns 'it'\n"));
  EXPECT_THAT(page, HasSubstr("\\fBprog\\fR [\\fIOPTIONS\\fR] \\fICOMMAND\\fR ...\n"));
  EXPECT_THAT(page, Not(HasSubstr("SEE ALSO")));
  EXPECT_THAT(ManPage(command.commands[1].commands[0], {}),
              HasSubstr("How (one of json,\\: text)\n"));
}

}  // namespace
}  // namespace starling::manual
