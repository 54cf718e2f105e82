/// What a command line accepts, as data: what manual pages and shell completions are made of.
#pragma once

#include <CLI/CLI.hpp>
#include <string>
#include <vector>

namespace starling::manual {

/// `--name VALUE`, `--flag`, or a positional argument.
struct Option {
  std::vector<std::string> names;  ///< with their dashes; none of a positional argument
  std::string value;               ///< such as FILE; empty: a flag
  std::string description;
  std::string default_value;
  std::string environment;           ///< variable that is read when the option is not given
  std::vector<std::string> choices;  ///< all values that are accepted; empty: others, too
  bool required = false;
  bool repeated = false;
};

struct Command {
  std::string name;  ///< with those of the commands above it: "starling cache pin"
  std::string description;
  std::string footer;
  std::vector<Option> options;
  std::vector<Option> arguments;  ///< positional ones, in their order
  std::vector<Command> commands;
};

/// What `app` accepts now. What has no group is hidden from its help, so from here, too. A footer
/// that a command has from the one above it is left out.
Command DescribeCommand(const CLI::App& app);

/// `command` and all below it, each before its own.
std::vector<const Command*> AllCommands(const Command& command);

}  // namespace starling::manual
