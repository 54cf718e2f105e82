#include <cstdio>
#include <filesystem>
#include <map>
#include <memory>
#include <string>

#include "apps/starling/commands.h"
#include "base/file_system.h"
#include "manual/command_tree.h"
#include "manual/completion.h"
#include "manual/man_page.h"

namespace starling::cli {
namespace {

using Completion = std::string (*)(const manual::Command&);

struct Arguments {
  std::string shell;
  std::string directory;
};

void AddPages(const manual::Command& command, const std::string& above,
              std::map<std::string, std::string>& pages) {
  const std::string name = manual::PageName(command);
  pages[name + ".1"] = manual::ManPage(
      command, {.section = 1, .version = "starling " STARLING_VERSION, .date = "", .above = above});
  for (const manual::Command& below : command.commands) {
    AddPages(below, name, pages);
  }
}

Status WritePages(const manual::Command& program, const std::filesystem::path& directory) {
  std::map<std::string, std::string> pages;
  AddPages(program, "", pages);
  for (const auto& [name, text] : pages) {
    RETURN_IF_ERROR(WriteFileAtomically(RealFileSystem(), directory / name, AsBytes(text), 0644));
  }
  std::printf("%zu manual pages are in %s\n", pages.size(), directory.c_str());
  return OkStatus();
}

}  // namespace

void AddManual(CLI::App& app, Run& chosen) {
  static const std::map<std::string, Completion> kShells = {{"bash", manual::BashCompletion},
                                                            {"fish", manual::FishCompletion},
                                                            {"zsh", manual::ZshCompletion}};
  const auto arguments = std::make_shared<Arguments>();
  CLI::App* const completion =
      app.add_subcommand("completion", "Print the completion of this command line for a shell");
  completion->add_option("SHELL", arguments->shell, "Which shell")
      ->required()
      ->check(CLI::IsMember({"bash", "fish", "zsh"}));
  completion->footer("Example: source <(starling completion bash)");
  completion->callback([arguments, &app, &chosen] {
    chosen = [arguments, &app] {
      const std::string text = kShells.at(arguments->shell)(manual::DescribeCommand(app));
      std::fputs(text.c_str(), stdout);
      return OkStatus();
    };
  });
  CLI::App* const pages =
      app.add_subcommand("manual", "Write the manual pages of all commands into a directory");
  pages->add_option("DIRECTORY", arguments->directory, "Which is there already")->required();
  pages->footer("Example: starling manual /usr/local/share/man/man1 && man starling-pull");
  pages->callback([arguments, &app, &chosen] {
    chosen = [arguments, &app] {
      return WritePages(manual::DescribeCommand(app), arguments->directory);
    };
  });
}

}  // namespace starling::cli
