#include "dockerfile/entrypoint/shell_script.h"

#include <gtest/gtest.h>

namespace starling::dockerfile::entrypoint {
namespace {

std::string Said(std::string_view script, std::vector<Word> first = {}) {
  const ScriptEnd end = EndOf(script, std::move(first));
  std::string said = fmt::format("{}: {}", NameOf(end.verdict), end.reason);
  for (const Word& word : end.words) {
    said += " <" + word.text + ">";
  }
  return said;
}

// What the official images of these names have, cut to what matters.
constexpr std::string_view kRedis = R"sh(#!/bin/sh
set -e
# first arg is `-f` or `--some-option`
if [ "${1#-}" != "$1" ] || [ "${1%.conf}" != "$1" ]; then
	set -- redis-server "$@"
fi
if [ "$1" = 'redis-server' -a "$(id -u)" = '0' ]; then
	find . \! -user redis -exec chown redis '{}' +
	exec gosu redis "$0" "$@"
fi
um="$(umask)"
if [ "$um" = '0022' ]; then
	umask 0077
fi
exec "$@"
)sh";
constexpr std::string_view kPostgres = R"sh(#!/usr/bin/env bash
set -Eeo pipefail
file_env() {
	local var="$1"
	if [ "${!var:-}" ]; then val="${!var}"; elif [ x ]; then val="$(< "${!fileVar}")"; fi
}
_main() {
	if [ "${1:0:1}" = '-' ]; then
		set -- postgres "$@"
	fi
	if [ "$(id -u)" = '0' ]; then exec gosu postgres "$BASH_SOURCE" "$@"; fi
	exec "$@"
}
if ! _is_sourced; then
	_main "$@"
fi
)sh";
constexpr std::string_view kNginx = R"sh(#!/bin/sh
set -e
entrypoint_log() { if [ -z "${QUIET:-}" ]; then echo "$@"; fi }
if [ "$1" = "nginx" ]; then
    find "/docker-entrypoint.d/" -follow -type f -print | sort -V | while read -r f; do
        case "$f" in
            *.envsh) . "$f" ;;
            *) entrypoint_log "$0: Ignoring $f";;
        esac
    done
fi
exec "$@"
)sh";
// nvcr.io's images.
constexpr std::string_view kNvidia = R"(#!/bin/bash
shopt -s nullglob
for i in /opt/nvidia/entrypoint.d/*; do
  case "$i" in
    *.txt) cat "$i" ;;
    *.sh) source "$i" ;;
  esac
done
if [[ $# -eq 0 ]]; then
  exec "/bin/bash"
else
  exec "$@"
fi
)";

TEST(EndOf, FollowsAScriptToItsEnd) {
  const struct {
    std::string_view name;
    std::string_view script;
    std::string_view want;
  } cases[] = {
      {"the template",
       "#!/usr/bin/env bash\n\n# Your custom startup commands here.\n\nexec \"$@\" # Runs the "
       "command passed to the entrypoint script.\n",
       "does: line 5: exec \"$@\""},
      {"redis", kRedis, "does: line 15: exec \"$@\""},
      {"nginx", kNginx, "does: line 12: exec \"$@\""},
      {"postgres", kPostgres,
       "cannot tell: line 15: its arguments are executed under a condition, which the text does "
       "not tell"},
      {"nvidia", kNvidia,
       "cannot tell: line 12: its arguments are executed under a condition, which the text does "
       "not tell"},
      {"by another", "exec tini -- \"$@\"", "does: line 1: exec tini -- \"$@\" <tini> <-->"},
      {"by one that is not known", "exec \"$x\" \"$@\"",
       "does: line 1: exec \"$x\" \"$@\" <\"$x\">"},
      {"without quotes", "exec $@",
       "does: line 1: exec $@ (without quotes, arguments with blanks come apart)"},
      {"a name of its own", "exec -a x -- \"$@\"", "does: line 1: exec \"$@\""},
      {"redirections first", "exec >/log 2>&1\nexec \"$@\"", "does: line 2: exec \"$@\""},
      {"in a function", "main() { exec \"$@\"; }\nmain \"$@\"", "does: line 1: exec \"$@\""},
      {"in a function of a function", "a() { exec \"$@\"; }\nb() { a x \"$@\"; }\nb y \"$@\"",
       "does: line 1: exec \"$@\" <x> <y>"},
      {"set in front", "set -- python -m \"$@\"\nexec \"$@\"",
       "does: line 2: exec \"$@\" <python> <-m>"},
      {"an exit of the other way", "[ -d /x ] || exit 1\nexec \"$@\"", "does: line 2: exec \"$@\""},
      {"a function that returns", "f() { return 0; }\nf\nexec \"$@\"", "does: line 3: exec \"$@\""},
      {"behind an alternative", "exec \"$@\" || exit 1", "does: line 1: exec \"$@\""},
      {"a pipeline before", "env | sort\nexec \"$@\"", "does: line 2: exec \"$@\""},

      {"nothing", "#!/bin/sh\npython /app.py\n",
       "does not: nothing in it executes its arguments; end it with exec \"$@\""},
      {"printed only", "echo \"$@\"",
       "does not: nothing in it executes its arguments; end it with exec \"$@\""},
      {"as a child", "\"$@\"\n",
       "does not: line 1: it starts its arguments as another process, which gets no signals; write "
       "exec \"$@\""},
      {"in the background", "\"$@\" &\nwait",
       "does not: line 1: it starts its arguments as another process, which gets no signals; write "
       "exec \"$@\""},
      {"something else", "exec python /app.py\nexec \"$@\"",
       "does not: line 1: exec python /app.py ends the script without its arguments"},
      {"one word", "exec \"$*\"",
       "does not: line 1: exec \"$*\" does not hand the arguments on as they are; write \"$@\" at "
       "the end"},
      {"an exit in front", "exit 0\nexec \"$@\"",
       "does not: line 1: exit 0 ends the script before its arguments are executed"},
      {"dropped", "shift\nexec \"$@\"", "does not: line 1: shift drops the first of its arguments"},
      {"replaced", "set -- python\nexec \"$@\"",
       "does not: line 2: exec \"$@\" ends the script without its arguments (line 1 has replaced "
       "them)"},
      {"a function without them", "main() { exec \"$@\"; }\nmain",
       "does not: line 1: exec \"$@\" ends the script without its arguments"},
      {"a function that nobody calls", "main() { exec \"$@\"; }\n",
       "does not: nothing in it executes its arguments; end it with exec \"$@\""},
      {"in a here-document", "cat >/x <<E\nexec \"$@\"\nE\n",
       "does not: nothing in it executes its arguments; end it with exec \"$@\""},

      {"a condition", "if [ -n \"$1\" ]; then exec \"$@\"; fi\nexec bash",
       "cannot tell: line 1: its arguments are executed under a condition, which the text does not "
       "tell"},
      {"options", "while [ $# -gt 0 ]; do shift; done\nexec \"$@\"",
       "cannot tell: line 1: under a condition, arguments are dropped"},
      {"elsewhere", ". /lib.sh\nrun_it", "cannot tell: line 1: \". /lib.sh\" goes on elsewhere"},
      {"eval", "eval \"exec $*\"", "cannot tell: line 1: \"eval \"exec $*\"\" goes on elsewhere"},
      {"another program", "run-it \"$@\"", "cannot tell: line 1: run-it gets the arguments"},
      {"a program that is not known", "\"$x\" \"$@\"",
       "cannot tell: line 1: what it is that gets the arguments is not known"},
      {"behind them", "exec \"$@\" --more",
       "cannot tell: line 1: exec \"$@\" --more does not hand the arguments on as they are; write "
       "\"$@\" at the end"},
      {"broken", "exec \"$@", "cannot tell: it cannot be read: line 1: a quote is not closed"},
      {"functions without end", "f() { f \"$@\"; }\nf \"$@\"",
       "cannot tell: line 1: its functions call each other too often to be followed"},
  };
  for (const auto& c : cases) {
    EXPECT_EQ(Said(c.script), c.want) << c.name;
  }
}

TEST(EndOf, KnowsTheFirstArguments) {
  const Word python{.kind = Word::Kind::kText, .text = "python"};
  const Word module{.kind = Word::Kind::kText, .text = "-m"};
  EXPECT_EQ(Said("exec \"$@\"", {python, module}), "does: line 1: exec \"$@\" <python> <-m>");
  EXPECT_EQ(Said("shift\nexec \"$@\"", {python, module}), "does: line 2: exec \"$@\" <-m>");
  EXPECT_EQ(Said("shift 2\nexec \"$@\"", {python, module}), "does: line 2: exec \"$@\"");
  EXPECT_EQ(Said("shift 3\nexec \"$@\"", {python, module}),
            "does not: line 1: shift drops the first of its arguments");
}

TEST(EndOf, EndsWithFunctionsThatMultiply) {
  std::string script = "f0() { :; }\n";
  for (int i = 1; i < 15; ++i) {
    script += fmt::format("f{}() {{", i);
    for (int calls = 0; calls < 50; ++calls) {
      script += fmt::format(" f{};", i - 1);
    }
    script += " }\n";
  }
  EXPECT_EQ(Said(script + "f14\n"),
            "cannot tell: line 2: its functions call each other too often to be followed");
}

}  // namespace
}  // namespace starling::dockerfile::entrypoint
