#include "dockerfile/entrypoint/judge.h"

#include <gtest/gtest.h>

#include "base/temp_dir.h"
#include "tests/support/file_tree.h"

namespace starling::dockerfile::entrypoint {
namespace {

class JudgeTest : public ::testing::Test {
 protected:
  std::string Said(std::vector<std::string> entrypoint) const {
    const auto judged = Judge(directory_.path(), {.entrypoint = std::move(entrypoint),
                                                  .search_path = "/usr/local/bin:/usr/bin:/bin",
                                                  .working_directory = "/work"});
    return judged.ok()
               ? fmt::format("{}: {}: {}", NameOf(judged->verdict), judged->file, judged->reason)
               : std::string(MessageOf(judged.status()));
  }
  void Make(const std::string& script) const {
    testing_support::Shell("cd " + directory_.path().native() + "; umask 022; " + script);
  }

  TempDir directory_ = *TempDir::Make("/tmp", "entrypoint-");
};

TEST_F(JudgeTest, SaysWhatAnEntrypointDoes) {
  Make(R"(mkdir -p bin usr/bin usr/local/bin work
elf() { printf '\177ELF rest' >"$1"; chmod 755 "$1"; }
script() { cat >"$1"; chmod 755 "$1"; }
elf bin/dash; ln -s dash bin/sh; elf bin/bash; elf usr/bin/env; elf usr/bin/tini; elf usr/bin/gosu; elf bin/busybox
elf usr/bin/app; elf usr/bin/python3
printf '#!/usr/bin/env bash\n\nexec "$@"\n' | script usr/bin/my_entrypoint.sh
printf '#!/bin/sh -e\nexec /usr/bin/my_entrypoint.sh "$@"\n' | script usr/local/bin/outer
printf '#!/bin/sh\nexec tini -s -- gosu app "$@"\n' | script usr/bin/both
printf '#!/bin/sh\nexec app "$@"\n' | script usr/bin/to-app
printf '#!/bin/sh\npython3 /app.py\n' | script usr/bin/never
printf '#!/usr/bin/python3\n' | script usr/bin/snake
printf '#!/bin/zsh\nexec "$@"\n' | script usr/bin/zshell
printf '#!/bin/sh\r\nexec "$@"\r\n' | script usr/bin/windows
printf 'exec "$@"\n' | script usr/bin/nameless
printf '#!\n' | script usr/bin/empty
printf '#!/bin/busybox sh\nexec "$@"\n' | script usr/bin/busy
printf '#!/bin/sh\nexec nameless "$@"\n' | script usr/bin/to-nameless
printf '#!/bin/sh\nexec to-itself "$@"\n' | script usr/bin/to-itself
printf '#!/bin/sh\nexec "$@"\n' >usr/bin/mode
cp usr/bin/my_entrypoint.sh work/run
ln -s ../../../../../../../etc/passwd usr/bin/outside
mkfifo usr/bin/pipe
)");
  const struct {
    std::string_view name;
    std::vector<std::string> entrypoint;
    std::string_view want;
  } cases[] = {
      {"none", {}, "does: : there is no entrypoint"},
      {"the template",
       {"/usr/bin/my_entrypoint.sh"},
       "does: /usr/bin/my_entrypoint.sh: line 3: exec \"$@\""},
      {"by name", {"my_entrypoint.sh"}, "does: /usr/bin/my_entrypoint.sh: line 3: exec \"$@\""},
      {"from the working directory", {"./run"}, "does: /work/run: line 3: exec \"$@\""},
      {"a script of a script", {"outer"}, "does: /usr/bin/my_entrypoint.sh: line 3: exec \"$@\""},
      {"tini", {"tini", "--"}, "does: /usr/bin/tini: tini executes what follows"},
      {"tini and a script",
       {"/usr/bin/tini", "-g", "--", "my_entrypoint.sh"},
       "does: /usr/bin/my_entrypoint.sh: line 3: exec \"$@\""},
      {"env", {"env", "A=b", "-u", "C"}, "does: /usr/bin/env: env executes what follows"},
      {"several", {"both"}, "does: /usr/bin/both: line 2: exec tini -s -- gosu app \"$@\""},
      {"sh and a script",
       {"/bin/sh", "-e", "/usr/bin/my_entrypoint.sh"},
       "does: /usr/bin/my_entrypoint.sh: line 3: exec \"$@\""},
      {"sh -c",
       {"sh", "-c", "exec \"$@\"", "--"},
       "does: /bin/sh: the text of sh -c: line 1: exec \"$@\""},
      {"busybox's shell", {"busy"}, "does: /usr/bin/busy: line 2: exec \"$@\""},
      {"a script that a shell starts",
       {"to-nameless"},
       "does: /usr/bin/nameless: line 1: exec \"$@\""},
      {"a word in front",
       {"my_entrypoint.sh", "tini"},
       "does: /usr/bin/my_entrypoint.sh: line 3: exec \"$@\""},

      {"never",
       {"never"},
       "does not: /usr/bin/never: nothing in it executes its arguments; end it with exec \"$@\""},
      {"without brackets",
       {"/bin/sh", "-c", "python3 /app.py"},
       "does not: /bin/sh: the text of sh -c, as of an ENTRYPOINT without brackets: nothing in it "
       "executes its arguments; end it with exec \"$@\""},
      {"sh -c without $0",
       {"sh", "-c", "exec \"$@\""},
       "does not: /bin/sh: the text of sh -c has the first word of the command as $0, not in "
       "\"$@\"; write a word such as -- behind it"},
      {"a shell",
       {"bash"},
       "does not: /bin/bash: the shell takes the first word of the command for a script's name"},
      {"a shell with -c",
       {"bash", "-lc"},
       "does not: /bin/bash: the shell takes the first word of the command for its script"},
      {"gosu without a user",
       {"gosu"},
       "does not: /usr/bin/gosu: gosu takes the first word of the command for itself"},
      {"not there", {"/entry.sh"}, "does not: /entry.sh: there is no such file in the image"},
      {"not in PATH",
       {"entry.sh"},
       "does not: entry.sh: it is in no directory of the image's PATH "
       "(/usr/local/bin:/usr/bin:/bin)"},
      {"a word in front that is nothing",
       {"my_entrypoint.sh", "start"},
       "does not: start: it is in no directory of the image's PATH (/usr/local/bin:/usr/bin:/bin)"},
      {"not executable",
       {"/usr/bin/mode"},
       "does not: /usr/bin/mode: it is not executable; give it the mode 755"},
      {"no interpreter",
       {"nameless"},
       "does not: /usr/bin/nameless: it has no first line that names its interpreter, such as "
       "#!/bin/sh, and so cannot be started"},
      {"an empty one", {"empty"}, "does not: /usr/bin/empty: its first line names no interpreter"},
      {"an interpreter that is not there",
       {"zshell"},
       "does not: /usr/bin/zshell: its interpreter /bin/zsh is not in the image"},
      {"ends of lines",
       {"windows"},
       "does not: /usr/bin/windows: its lines end as on Windows, so its interpreter is not found; "
       "let them end as on Unix"},
      {"a link out of the image",
       {"/usr/bin/outside"},
       "does not: /usr/bin/outside: there is no such file in the image"},
      {"a pipe", {"/usr/bin/pipe"}, "does not: /usr/bin/pipe: there is no such file in the image"},

      {"a program",
       {"app"},
       "cannot tell: /usr/bin/app: /usr/bin/app is a program, and what it does with its arguments "
       "its file does not tell"},
      {"python",
       {"python3", "-m", "x"},
       "cannot tell: /usr/bin/python3: /usr/bin/python3 is a program, and what it does with its "
       "arguments its file does not tell"},
      {"a script to a program",
       {"to-app"},
       "cannot tell: /usr/bin/to-app: /usr/bin/app is a program, and what it does with its "
       "arguments its file does not tell"},
      {"another language",
       {"snake"},
       "cannot tell: /usr/bin/snake: it is a script of python3, and only those of shells are "
       "understood"},
      {"a circle",
       {"to-itself"},
       "cannot tell: /usr/bin/to-itself: too many programs start each other"},
  };
  for (const auto& c : cases) {
    EXPECT_EQ(Said(c.entrypoint), c.want) << c.name;
  }
}

TEST_F(JudgeTest, NeedsATree) {
  const auto judged = Judge(directory_.path() / "none",
                            {.entrypoint = {"x"}, .search_path = {}, .working_directory = {}});
  EXPECT_EQ(judged.status().code(), StatusCode::kNotFound);
}

}  // namespace
}  // namespace starling::dockerfile::entrypoint
