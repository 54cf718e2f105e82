#include <cstdio>
#include <memory>
#include <string>
#include <vector>

#include "apps/starling/commands.h"
#include "apps/starling/examined_host.h"
#include "apps/starling/machine.h"
#include "base/file_system.h"
#include "doctor/examine.h"
#include "doctor/plan_setup.h"
#include "setup/kept_file.h"

namespace starling::cli {
namespace {

constexpr int kConflicts = 3;

struct Arguments {
  std::string client;
  doctor::Places places;
  bool apply = false;
  bool undo = false;
  bool replace = false;
};

setup::KeptFile Kept(const std::string& path, doctor::Client client) {
  return {RealFileSystem(), path, std::string(doctor::NameOf(client))};
}

void PrintNextStep(const doctor::Host& host, doctor::Client client) {
  if (const auto step = doctor::AfterSetup(host, client)) {
    std::printf("then:\n%s", doctor::AsText(*step).c_str());
  }
}

Status Undo(const doctor::Host& host, doctor::Client client) {
  std::vector<setup::KeptFile> kept;
  for (const std::string& path : doctor::FilesOfSetup(host, client)) {
    setup::KeptFile file = Kept(path, client);
    if (file.is_kept()) {
      RETURN_IF_ERROR(file.CanRestore());
      kept.push_back(std::move(file));
    }
  }
  if (kept.empty()) {
    return MakeError(StatusCode::kNotFound,
                     fmt::format("nothing was applied for {}", doctor::NameOf(client)));
  }
  for (setup::KeptFile& file : kept) {
    RETURN_IF_ERROR(file.Restore());
    std::printf("%s is as it was before\n", file.path().c_str());
  }
  PrintNextStep(host, client);
  return OkStatus();
}

/// What stands in the way, on stderr. Returns whether there is something.
bool PrintConflicts(const std::vector<setup::FilePlan>& plans) {
  bool any = false;
  for (const setup::FilePlan& plan : plans) {
    for (const setup::Conflict& conflict : plan.plan.conflicts) {
      std::fprintf(stderr, "%s:%zu:%zu: %s is %s, and has to be %s (--replace)\n",
                   plan.path.c_str(), conflict.line, conflict.column, conflict.key.c_str(),
                   doctor::Shown(conflict.present).c_str(), conflict.wanted.c_str());
      any = true;
    }
  }
  return any;
}

Status RunSetup(const Arguments& arguments, int& exit_code) {
  const doctor::Client client = *doctor::ClientNamed(arguments.client);
  doctor::Places places = arguments.places;
  if (client == doctor::Client::kK3s) {
    places.clients = std::set{client};  // whether it has been started or not
  }
  ThisMachine machine;
  const doctor::Host host("/", machine, std::move(places));
  if (arguments.undo) {
    return Undo(host, client);
  }
  RETURN_IF_ERROR(host.settings_status());
  ASSIGN_OR_RETURN(const std::vector<setup::FilePlan> plans, doctor::PlanSetup(host, client));
  if (plans.empty()) {
    std::printf("nothing is missing\n");
    return OkStatus();
  }
  const bool has_conflicts = !arguments.replace && PrintConflicts(plans);
  exit_code = has_conflicts ? kConflicts : 0;
  if (has_conflicts && arguments.apply) {
    return MakeError(StatusCode::kFailedPrecondition, "nothing was written");
  }
  for (const setup::FilePlan& plan : plans) {
    const std::vector<setup::LineEdit> edits =
        has_conflicts ? plan.plan.additions : plan.plan.AllEdits();
    if (!arguments.apply) {
      std::fputs(doctor::AsText(doctor::Step{.file = plan.path,
                                             .edits = edits,
                                             .lines = setup::LinesOf(plan.text).size()})
                     .c_str(),
                 stdout);
      continue;
    }
    setup::KeptFile file = Kept(plan.path, client);
    RETURN_IF_ERROR(file.Write(setup::Edited(plan.text, edits)));
    std::printf("%s is written%s\n", plan.path.c_str(),
                plan.exists
                    ? fmt::format("; what stood there is in {}", file.backup().native()).c_str()
                    : "");
  }
  PrintNextStep(host, client);
  return OkStatus();
}

}  // namespace

void AddSetup(CLI::App& app, Run& chosen, int& exit_code) {
  const auto arguments = std::make_shared<Arguments>();
  CLI::App& command = *app.add_subcommand(
      "setup", "Tell containerd, nerdctl or k3s of Starling: print the lines, or write them");
  command
      .add_option("CLIENT", arguments->client,
                  "containerd, nerdctl, cri (containerd for kubelet) or k3s")
      ->required()
      ->check(CLI::IsMember({"containerd", "nerdctl", "cri", "k3s"}));
  CLI::Option* apply =
      command.add_flag("--apply", arguments->apply, "Write them, and keep what stood there");
  CLI::Option* undo =
      command.add_flag("--undo", arguments->undo, "Put back what stood there, byte for byte");
  CLI::Option* replace = command.add_flag("--replace", arguments->replace,
                                          "Also instead of other values that stand there");
  apply->excludes(undo);
  replace->excludes(undo);
  AddPlaces(command, arguments->places);
  command.add_option("--containerd-version", arguments->places.containerd_version,
                     "If not that of the containerd that runs or is installed");
  command.footer(
      "What stands there stays, with its comments. --undo refuses when a file was changed since.\n"
      "Exit codes: 0 done, 1 failed, 3 other values stand there (nothing was written).\n"
      "Example: starling setup containerd --apply && systemctl restart containerd");
  command.callback([arguments, &chosen, &exit_code] {
    chosen = [arguments, &exit_code] { return RunSetup(*arguments, exit_code); };
  });
}

}  // namespace starling::cli
