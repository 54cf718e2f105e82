#include "manual/completion.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "tests/unit/manual/program.h"

namespace starling::manual {
namespace {

using ::testing::HasSubstr;
using ::testing::Not;

// What the shells make of these scripts is tested with them: tests/e2e/manual.sh.
struct Case {
  const char* name;
  std::string (*complete)(const Command&);
  std::vector<const char*> parts;
};

TEST(CompletionTest, OffersCommandsOptionsAndChoices) {
  const Program program;
  const Command command = DescribeCommand(program.app);
  const Case cases[] = {
      {"bash",
       BashCompletion,
       {"      'prog store show') command=\"$command $word\" ;;\n",
        "    'prog') options='-h --help' words='run store' ;;\n",
        "    'prog run:-n' | 'prog run:--name' | 'prog run:--label') return ;;\n",
        "    'prog store show:--format')\n      COMPREPLY=($(compgen -W 'json text' -- ",
        "-F _prog prog\n"}},
      {"zsh",
       ZshCompletion,
       {"#compdef prog\n", "        'run:Runs '\\''it'\\'''\n", "        store) _prog_store ;;\n",
        "'(-n --name)--name[Called so]:TEXT:_files'",
        "'*--label[Put on it\\: \\[a\\] \\\\ '\\''b'\\'']:TEXT:_files'",
        "'(--format)--format[How]:TEXT:(json text)'", "'*:ARGUMENT:_files'", "\n_prog \"$@\"\n"}},
      {"fish",
       FishCompletion,
       {"contains -- \"$command $word\" 'prog run' 'prog store' 'prog store show'\n",
        "-n '_prog_at '\\''prog'\\''' -f -a 'run' -d 'Runs '\\''it'\\'''\n",
        " -s n -l name -r -F -d 'Called so'\n", " -l quiet -d 'Says nothing'\n",
        " -l format -x -a 'json text' -d 'How'\n", "[a] \\\\ '\\''b'\\'''"}},
  };
  for (const Case& shell : cases) {
    const std::string script = shell.complete(command);
    for (const char* const part : shell.parts) {
      EXPECT_THAT(script, HasSubstr(part)) << shell.name;
    }
    EXPECT_THAT(script, Not(HasSubstr("secret-thing"))) << shell.name;
    EXPECT_THAT(script, Not(HasSubstr("ghost"))) << shell.name;
  }
}

}  // namespace
}  // namespace starling::manual
