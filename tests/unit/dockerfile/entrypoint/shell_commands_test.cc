#include "dockerfile/entrypoint/shell_commands.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

namespace starling::dockerfile::entrypoint {
namespace {

using ::testing::HasSubstr;

/// "LINE[?][&][ in FUNCTION]: WORD|WORD" a line; @ are arguments, ~ what is not known.
std::string Said(std::string_view script) {
  const auto commands = CommandsOf(script);
  if (!commands.ok()) {
    return std::string(MessageOf(commands.status()));
  }
  std::string said;
  for (const Command& command : *commands) {
    said += fmt::format("{}{}{}{}:", command.line, command.is_conditional ? "?" : "",
                        command.in_subshell ? "&" : "",
                        command.function.empty() ? "" : " in " + command.function);
    for (const Word& word : command.words) {
      constexpr std::string_view kKinds = "=~@%*";
      said += fmt::format(" {}{}", kKinds[static_cast<size_t>(word.kind)], word.text);
    }
    said += '\n';
  }
  return said;
}

TEST(CommandsOf, ReadsWhatAShellReads) {
  const struct {
    std::string_view name;
    std::string_view script;
    std::string_view want;
  } cases[] = {
      {"nothing", "#!/bin/sh\n# a comment\n\n", ""},
      {"words", "exec \"$@\"", "1: =exec @\"$@\"\n"},
      {"two on a line", "a b; c", "1: =a =b\n1: =c\n"},
      {"quotes", "a 'b c' \"d\\\"e\" f\\ g ''", "1: =a =b c =d\"e =f g =\n"},
      {"expansions", "a $b \"${c:-$(d \"x)\")}\" `e` $(f $(g)) *.h",
       "1: =a ~$b ~\"${c:-$(d \"x)\")}\" ~`e` ~$(f $(g)) ~*.h\n"},
      {"arguments", "a \"$@\" $@ \"$*\" $* \"x$@\" ${1+\"$@\"}",
       "1: =a @\"$@\" %$@ *\"$*\" %$* *\"x$@\" @${1+\"$@\"}\n"},
      {"a line that goes on", "a \\\n  b\nc", "1: =a =b\n3: =c\n"},
      {"assignments in front", "A=1 B[2]+=x run it\nC=$(date)\nD=(one two)\nE",
       "1: =run =it\n4: =E\n"},
      {"redirections", "a >/dev/null 2>&1 <x &>>y b\n>z", "1: =a =b\n"},
      {"here-documents", "cat <<E <<-'F' >x\nexec \"$@\"\nE\n\texec\n\tF\nb", "1: =cat\n6: =b\n"},
      {"here-string", "cat <<<\"$x\" y", "1: =cat =y\n"},
      {"if", "if a; then b; elif c; then d; else e; fi\nf",
       "1?: =a\n1?: =b\n1?: =c\n1?: =d\n1?: =e\n2: =f\n"},
      {"loops without words", "for i do a; done; for j; do b; done", "1?: =a\n1?: =b\n"},
      {"declared arrays", "declare -A X=(one two)\nlocal y=()\nc",
       "1: =declare =-A =X=\n2: =local =y=\n3: =c\n"},
      {"the end of a block behind another", "f() { if a; then b; fi }\nc",
       "1? in f: =a\n1? in f: =b\n2: =c\n"},
      {"loops",
       "while read x; do a; done <f\nfor i in exec \"$@\"; do b; done\nfor i\ndo c\ndone\nfor "
       "((i=0; i<3; i++)); do d; done\ne",
       "1?: =read =x\n1?: =a\n2?: =b\n4?: =c\n6?: =d\n7: =e\n"},
      {"case", "case \"$1\" in\n (a|b) c ;;\n -*) d; e ;;\n *)\n  f\nesac\ng",
       "2?: =c\n3?: =d\n3?: =e\n5?: =f\n7: =g\n"},
      {"case in case", "case a in b) case c in d) e;; esac;; f) g;; esac; h",
       "1?: =e\n1?: =g\n1: =h\n"},
      {"lists", "a && b || c\nd &&\n\n  e\nf", "1: =a\n1?: =b\n1?: =c\n2: =d\n4?: =e\n5: =f\n"},
      {"a list of groups", "[ x ] && { a; b; }\nc", "1: =[ =x =]\n1?: =a\n1?: =b\n2: =c\n"},
      {"pipelines", "a | b |\n c\nd", "1&: =a\n1&: =b\n2&: =c\n3: =d\n"},
      {"the background", "a && b & c\n", "1&: =a\n1?&: =b\n1: =c\n"},
      {"subshells", "(a; b)\n{ c; }", "1&: =a\n1&: =b\n2: =c\n"},
      {"functions",
       "f() {\n a\n if b; then c; fi\n}\nfunction g { d; }\nfunction h() { e; }\nk()\n(\n l\n)\nf "
       "\"$@\"",
       "2 in f: =a\n3? in f: =b\n3? in f: =c\n5 in g: =d\n6 in h: =e\n9& in k: =l\n11: =f "
       "@\"$@\"\n"},
      {"tests of bash", "[[ $a == (b|c) && $d ]] && e\n(( x = 1 ))\nf", "1?: =e\n3: =f\n"},
      {"a negation", "! a && b", "1: =a\n1?: =b\n"},
      {"a comment behind", "a # exec \"$@\"\nb a#b", "1: =a\n2: =b =a#b\n"},
  };
  for (const auto& c : cases) {
    EXPECT_EQ(Said(c.script), c.want) << c.name;
  }
}

TEST(CommandsOf, SaysWhereAScriptIsBroken) {
  const struct {
    std::string_view name;
    std::string script;
    std::string_view want;
  } cases[] = {
      {"a quote", "a\nb 'c", "line 2: a quote is not closed"},
      {"double quotes", "a \"b\n", "line 1: a quote is not closed"},
      {"an expansion", "a $(b", "line 1: a ( is not closed"},
      {"braces", "a ${b", "line 1: a { is not closed"},
      {"backquotes", "a `b", "line 1: a ` is not closed"},
      {"a here-document", "a <<E\nb", "line 1: a here-document has no end"},
      {"no target", "a >\n", "line 1: a redirection leads nowhere"},
      {"if", "a\nif b; then c", "line 2: \"if\" has no end"},
      {"fi", "a\nfi", "line 2: \"fi\" has no beginning"},
      {"the wrong end", "if a; then b; done", "line 1: \"done\" has no beginning"},
      {"then", "then", "line 1: \"then\" has no beginning"},
      {"a parenthesis", "a )", "line 1: \")\" has no beginning"},
      {"two semicolons", "a ;; b", "line 1: \";;\" has no beginning"},
      {"depth", std::string(1000, '{') + " ", ""},
      {"blocks",
       [] {
         std::string text;
         for (int i = 0; i < 1000; ++i) {
           text += "{ ";
         }
         return text;
       }(),
       "nested too deep"},
      {"expansions",
       [] {
         std::string text = "a ";
         for (int i = 0; i < 5000; ++i) {
           text += "\"$(";
         }
         return text;
       }(),
       "nested too deep"},
      {"size", std::string(kMaxScriptBytes + 1, '\n'), "at most 1048576 are read"},
  };
  for (const auto& c : cases) {
    EXPECT_THAT(Said(c.script), HasSubstr(c.want)) << c.name;
  }
}

}  // namespace
}  // namespace starling::dockerfile::entrypoint
