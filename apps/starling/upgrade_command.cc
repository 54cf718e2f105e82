#include <chrono>
#include <cstdio>
#include <filesystem>
#include <memory>
#include <string>

#include "apps/starling/commands.h"
#include "keeper/instance.h"

namespace starling::cli {
namespace {

struct Arguments {
  std::string root = "/var/lib/starling";
  unsigned timeout_seconds = 60;
};

Status RunUpgrade(const Arguments& arguments) {
  ASSIGN_OR_RETURN(const keeper::Instance instance,
                   keeper::Upgrade(std::filesystem::path(arguments.root) / keeper::kLockFileName,
                                   std::chrono::seconds(arguments.timeout_seconds)));
  std::printf("starlingd serves as process %d below %d; nothing was unmounted\n", instance.server,
              instance.keeper);
  return OkStatus();
}

}  // namespace

void AddUpgrade(CLI::App& app, Run& chosen) {
  const auto arguments = std::make_shared<Arguments>();
  CLI::App* const command = app.add_subcommand(
      "upgrade", "have the starlingd on the disk take over from the one that runs");
  command->add_option("--root", arguments->root, "the daemon's root directory")
      ->capture_default_str();
  command->add_option("--timeout", arguments->timeout_seconds, "seconds to wait for it")
      ->capture_default_str();
  command->footer(
      "Containers go on. A daemon that cannot take over what is mounted refuses, and the running "
      "one\nstays.\nExample: make install && starling upgrade");
  command->callback(
      [arguments, &chosen] { chosen = [arguments] { return RunUpgrade(*arguments); }; });
}

}  // namespace starling::cli
