#include <cstdio>
#include <memory>
#include <string>
#include <vector>

#include "apps/starling/commands.h"
#include "apps/starling/examined_host.h"
#include "apps/starling/machine.h"
#include "doctor/examine.h"
#include "doctor/plan_setup.h"

namespace starling::cli {
namespace {

struct Arguments {
  doctor::Places places;
  std::vector<std::string> clients;
  bool json = false;
  bool notes = false;
};

Status RunDoctor(const Arguments& arguments, int& exit_code) {
  doctor::Places places = arguments.places;
  if (!arguments.clients.empty()) {
    places.clients.emplace();
    for (const std::string& name : arguments.clients) {
      places.clients->insert(*doctor::ClientNamed(name));
    }
  }
  ThisMachine machine;
  const doctor::Host host("/", machine, std::move(places));
  const doctor::Findings findings = doctor::Examine(host);
  const std::string report =
      arguments.json ? doctor::AsJson(findings) : doctor::AsText(findings, arguments.notes);
  std::fputs(report.c_str(), stdout);
  exit_code = doctor::ExitCodeOf(findings);
  return OkStatus();
}

}  // namespace

void AddDoctor(CLI::App& app, Run& chosen, int& exit_code) {
  const auto arguments = std::make_shared<Arguments>();
  CLI::App& command = *app.add_subcommand(
      "doctor", "Find what keeps this machine from pulling lazily, and print what cures it");
  command.add_option("IMAGE", arguments->places.image,
                     "Also whether starlingd can read this image of a registry");
  command
      .add_option("--for", arguments->clients,
                  "Who is to pull: containerd, nerdctl, cri (kubelet), k3s; those that are found, "
                  "without")
      ->delimiter(',')
      ->allow_extra_args(false)
      ->check(CLI::IsMember({"containerd", "nerdctl", "cri", "k3s"}));
  AddPlaces(command, arguments->places);
  command.add_flag("--json", arguments->json, "Print JSON");
  command.add_flag("--notes", arguments->notes, "Also what could be better but is not wrong");
  command.footer(
      "Nothing is changed. Run it as root.\n"
      "Exit codes: 0 nothing is wrong, 1 failed, 3 warnings, 4 errors.\n"
      "Example: starling doctor ghcr.io/me/app:1-esgz");
  command.callback([arguments, &chosen, &exit_code] {
    chosen = [arguments, &exit_code] { return RunDoctor(*arguments, exit_code); };
  });
}

}  // namespace starling::cli
