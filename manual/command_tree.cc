#include "manual/command_tree.h"

#include <algorithm>
#include <string_view>
#include <utility>

namespace starling::manual {
namespace {

// A validator that knows all values says "{one,two}" behind the type's name; one that translates
// them
// "{one->1,two->2} OR {1,2}".
std::vector<std::string> ChoicesOf(std::string_view type) {
  std::vector<std::string> choices;
  const size_t begin = type.find('{');
  const size_t end = type.find('}');
  if (begin == std::string_view::npos || end == std::string_view::npos || end < begin) {
    return choices;
  }
  std::string_view list = type.substr(begin + 1, end - begin - 1);
  while (true) {
    const size_t comma = list.find(',');
    const std::string_view choice = list.substr(0, comma);
    choices.emplace_back(choice.substr(0, choice.find("->")));
    if (comma == std::string_view::npos) {
      return choices;
    }
    list.remove_prefix(comma + 1);
  }
}

Option DescribeOption(const CLI::Option& option) {
  Option described;
  for (const std::string& name : option.get_snames()) {
    described.names.push_back("-" + name);
  }
  for (const std::string& name : option.get_lnames()) {
    described.names.push_back("--" + name);
  }
  const std::string type = option.get_type_name();
  if (option.get_positional()) {
    described.value = option.get_name(/*positional=*/true);
  } else if (option.get_items_expected_max() > 0) {
    const std::string value = type.substr(0, type.find(':'));
    described.value = value.empty() ? "VALUE" : value;
  }
  described.description = option.get_description();
  described.default_value = option.get_default_str();
  described.environment = option.get_envname();
  described.choices = ChoicesOf(type);
  described.required = option.get_required();
  described.repeated = option.get_items_expected_max() > 1;
  return described;
}

Command Describe(const CLI::App& app, const std::string& above, const std::string& footer_above) {
  Command command;
  command.name = above.empty() ? app.get_name() : above + " " + app.get_name();
  command.description = app.get_description();
  if (const std::string footer = app.get_footer(); footer != footer_above) {
    command.footer = footer;
  }
  for (const CLI::Option* const option : app.get_options()) {
    if (option->get_group().empty()) {
      continue;
    }
    auto& place = option->get_positional() ? command.arguments : command.options;
    place.push_back(DescribeOption(*option));
  }
  for (const CLI::App* const below : app.get_subcommands([](const CLI::App*) { return true; })) {
    if (!below->get_name().empty() && !below->get_group().empty()) {
      command.commands.push_back(Describe(*below, command.name, app.get_footer()));
    }
  }
  return command;
}

}  // namespace

Command DescribeCommand(const CLI::App& app) { return Describe(app, "", ""); }

std::vector<const Command*> AllCommands(const Command& command) {
  std::vector<const Command*> all = {&command};
  for (const Command& below : command.commands) {
    const std::vector<const Command*> more = AllCommands(below);
    all.insert(all.end(), more.begin(), more.end());
  }
  return all;
}

}  // namespace starling::manual
