#include "manual/completion.h"

#include <fmt/format.h>

#include <algorithm>
#include <string_view>
#include <vector>

namespace starling::manual {
namespace {

/// One word for any of the three shells: inside '' only ' itself is special, and fish's backslash.
std::string Quoted(std::string_view text, bool fish = false) {
  std::string quoted = "'";
  for (const char c : text) {
    if (c == '\'') {
      quoted += "'\\''";
    } else if (c == '\\' && fish) {
      quoted += "\\\\";
    } else {
      quoted += c == '\n' ? ' ' : c;
    }
  }
  return quoted + "'";
}

std::string Joined(const std::vector<std::string>& words, std::string_view separator = " ") {
  std::string joined;
  for (const std::string& word : words) {
    joined += (joined.empty() ? "" : std::string(separator)) + word;
  }
  return joined;
}

/// A name that shells accept for functions.
std::string FunctionName(const Command& command) {
  std::string name = "_" + command.name;
  std::replace_if(name.begin(), name.end(), [](char c) { return c == ' ' || c == '-'; }, '_');
  return name;
}

std::vector<std::string> NamesOf(const std::vector<Command>& commands) {
  std::vector<std::string> names;
  names.reserve(commands.size());
  for (const Command& command : commands) {
    names.push_back(command.name.substr(command.name.rfind(' ') + 1));
  }
  return names;
}

/// Values that a positional argument may have.
std::vector<std::string> ArgumentChoices(const Command& command) {
  std::vector<std::string> choices;
  for (const Option& argument : command.arguments) {
    choices.insert(choices.end(), argument.choices.begin(), argument.choices.end());
  }
  return choices;
}

/// What stands in zsh's "[...]" and between its colons.
std::string ZshText(std::string_view text) {
  std::string escaped;
  for (const char c : text) {
    if (c == '[' || c == ']' || c == ':' || c == '\\') {
      escaped += '\\';
    }
    escaped += c == '\n' ? ' ' : c;
  }
  return escaped;
}

/// ":NAME:ACTION", which says to zsh what a value is.
std::string ZshValue(const Option& option) {
  if (option.value.empty()) {
    return "";
  }
  const std::string action = option.choices.empty() ? "_files" : "(" + Joined(option.choices) + ")";
  return fmt::format(":{}:{}", ZshText(option.value), action);
}

std::string ZshFunction(const Command& command) {
  std::string text = fmt::format(
      "{}() {{\n  local curcontext=$curcontext state line\n  _arguments -C", FunctionName(command));
  for (const Option& option : command.options) {
    // Names of one option exclude each other, unless it may be repeated.
    const std::string prefix = option.repeated ? "*" : "(" + Joined(option.names) + ")";
    for (const std::string& name : option.names) {
      text += " \\\n    " + Quoted(fmt::format("{}{}[{}]{}", prefix, name,
                                               ZshText(option.description), ZshValue(option)));
    }
  }
  if (command.commands.empty()) {
    for (const Option& argument : command.arguments) {
      text += " \\\n    " + Quoted((argument.repeated ? "*" : "") + ZshValue(argument));
    }
    return text + "\n}\n";
  }
  text +=
      " \\\n    '1:command:->command' '*::argument:->argument'\n  case $state in\n    command)\n"
      "      local -a commands=(\n";
  const std::vector<std::string> names = NamesOf(command.commands);
  for (size_t i = 0; i < names.size(); ++i) {
    text += fmt::format("        {}\n",
                        Quoted(names[i] + ":" + ZshText(command.commands[i].description)));
  }
  text +=
      "      )\n      _describe command commands\n      ;;\n    argument)\n      case $line[1] "
      "in\n";
  for (size_t i = 0; i < names.size(); ++i) {
    text += fmt::format("        {}) {} ;;\n", names[i], FunctionName(command.commands[i]));
  }
  return text + "      esac\n      ;;\n  esac\n}\n";
}

/// A condition of fish: these words were given, in this order, before any other command's.
std::string FishCondition(const Command& program, const Command& command) {
  return fmt::format("{}_at {}", FunctionName(program), Quoted(command.name, true));
}

}  // namespace

std::string BashCompletion(const Command& program) {
  const std::vector<const Command*> all = AllCommands(program);
  const std::string function = FunctionName(program);
  std::string deeper;
  std::string values;
  std::string words;
  for (const Command* const command : all) {
    std::vector<std::string> offered;
    std::vector<std::string> valued;
    for (const Option& option : command->options) {
      offered.insert(offered.end(), option.names.begin(), option.names.end());
      std::vector<std::string> patterns;
      patterns.reserve(option.names.size());
      for (const std::string& name : option.names) {
        patterns.push_back(Quoted(command->name + ":" + name));
      }
      if (option.value.empty()) {
        continue;
      }
      if (option.choices.empty()) {
        valued.insert(valued.end(), patterns.begin(), patterns.end());
      } else {
        values += fmt::format(
            "    {})\n      COMPREPLY=($(compgen -W {} -- \"$current\"))\n"
            "      return\n      ;;\n",
            Joined(patterns, " | "), Quoted(Joined(option.choices)));
      }
    }
    if (!valued.empty()) {
      values += fmt::format("    {}) return ;;\n", Joined(valued, " | "));
    }
    if (command != &program) {
      deeper += fmt::format("      {}) command=\"$command $word\" ;;\n", Quoted(command->name));
    }
    std::vector<std::string> plain = NamesOf(command->commands);
    const std::vector<std::string> choices = ArgumentChoices(*command);
    plain.insert(plain.end(), choices.begin(), choices.end());
    words += fmt::format("    {}) options={} words={} ;;\n", Quoted(command->name),
                         Quoted(Joined(offered)), Quoted(Joined(plain)));
  }
  return fmt::format(R"(# bash completion of {name}
{function}() {{
  local current=${{COMP_WORDS[COMP_CWORD]}} previous=${{COMP_WORDS[COMP_CWORD - 1]}} command={name} word options words
  COMPREPLY=()
  for word in "${{COMP_WORDS[@]:1:COMP_CWORD - 1}}"; do
    [ "$word" = -- ] && return
    case "$command $word" in
{deeper}    esac
  done
  case "$command:$previous" in
{values}  esac
  case $command in
{words}  esac
  [[ $current == -* ]] || options=
  COMPREPLY=($(compgen -W "$options $words" -- "$current"))
}}
complete -o bashdefault -o default -F {function} {name}
)",
                     fmt::arg("name", program.name), fmt::arg("function", function),
                     fmt::arg("deeper", deeper), fmt::arg("values", values),
                     fmt::arg("words", words));
}

std::string ZshCompletion(const Command& program) {
  std::string text = fmt::format("#compdef {}\n", program.name);
  for (const Command* const command : AllCommands(program)) {
    text += ZshFunction(*command);
  }
  // The file is the body of the function that zsh calls first, and defines it anew.
  return text + fmt::format("{} \"$@\"\n", FunctionName(program));
}

std::string FishCompletion(const Command& program) {
  const std::string function = FunctionName(program);
  std::string known;
  std::string text;
  for (const Command* const command : AllCommands(program)) {
    if (command != &program) {
      known += " " + Quoted(command->name, true);
    }
    const std::string start =
        fmt::format("complete -c {} -n {}", program.name, Quoted(FishCondition(program, *command)));
    const std::vector<std::string> names = NamesOf(command->commands);
    for (size_t i = 0; i < names.size(); ++i) {
      text += fmt::format("{} -f -a {} -d {}\n", start, Quoted(names[i], true),
                          Quoted(command->commands[i].description, true));
    }
    if (const auto choices = ArgumentChoices(*command); !choices.empty()) {
      text += fmt::format("{} -f -a {}\n", start, Quoted(Joined(choices), true));
    }
    for (const Option& option : command->options) {
      text += start;
      for (const std::string& name : option.names) {
        text += name.starts_with("--") ? " -l " + name.substr(2) : " -s " + name.substr(1);
      }
      if (!option.choices.empty()) {
        text += " -x -a " + Quoted(Joined(option.choices), true);
      } else if (!option.value.empty()) {
        text += " -r -F";
      }
      text += " -d " + Quoted(option.description, true) + "\n";
    }
  }
  return fmt::format(R"(# fish completion of {name}
function {function}_at --argument-names wanted
    set -l command {name}
    for word in (commandline -opc)[2..]
        if contains -- "$command $word"{known}
            set command "$command $word"
        end
    end
    test "$command" = "$wanted"
end
{text})",
                     fmt::arg("name", program.name), fmt::arg("function", function),
                     fmt::arg("known", known), fmt::arg("text", text));
}

}  // namespace starling::manual
