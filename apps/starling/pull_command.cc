#include <cstdio>
#include <memory>
#include <nlohmann/json.hpp>
#include <stop_token>

#include "apps/starling/commands.h"
#include "apps/starling/daemon_secret.h"
#include "apps/starling/progress_display.h"
#include "apps/starling/rate_limits.h"
#include "apps/starling/stop_on_signal.h"
#include "apps/starling/toolbox.h"
#include "containerd/pull.h"

namespace starling::cli {
namespace {

struct Arguments {
  std::string image;
  ContainerdOptions containerd;
  std::string snapshotter = "stargz";
  std::string platform;
  std::string starlingd = kDaemonSocket;
  bool json = false;
  RegistryOptions registries;
};

Status Pull(const Arguments& arguments) {
  constexpr std::string_view kRegistryPrefix = "docker://";
  std::string_view name = arguments.image;
  if (name.starts_with(kRegistryPrefix)) {
    name.remove_prefix(kRegistryPrefix.size());
  }
  containerd::PullOptions options{.snapshotter = arguments.snapshotter};
  ASSIGN_OR_RETURN(options.reference, oci::Reference::Parse(name));
  options.platform = oci::Platform::Host();
  if (!arguments.platform.empty()) {
    ASSIGN_OR_RETURN(options.platform, oci::Platform::Parse(arguments.platform));
  }
  const StopOnSignal signals;
  options.stop = signals.token();
  ASSIGN_OR_RETURN(const auto toolbox,
                   Toolbox::Make(arguments.registries, options.reference.ToString()));
  const std::stop_callback stop_network(options.stop, [&toolbox] { toolbox->StopNetwork(); });
  ASSIGN_OR_RETURN(const std::shared_ptr<oci::ImageSource> source,
                   toolbox->OpenSource(options.reference.ToString()));
  containerd::Client client({.address = arguments.containerd.address,
                             .namespace_name = arguments.containerd.namespace_name});
  RETURN_IF_ERROR(client.Version().status());
  GiveDaemonSecret(arguments.starlingd, arguments.registries, options.reference);
  const std::unique_ptr<Progress> progress =
      MakeProgress(stderr, arguments.json ? Quiet::kYes : Quiet::kNo);
  ASSIGN_OR_RETURN(const containerd::PullReport report,
                   containerd::PullImage(client, *source, options, *progress));
  if (arguments.json) {
    const nlohmann::ordered_json json = {{"name", options.reference.ToString()},
                                         {"digest", report.target.ToString()},
                                         {"lazyLayers", report.lazy_layers},
                                         {"wholeLayers", report.whole_layers},
                                         {"presentLayers", report.present_layers},
                                         {"downloadedLayers", report.downloaded_layers},
                                         {"rateLimits", RateLimitsJson(toolbox->registries())}};
    std::printf("%s\n", json.dump(2).c_str());
  } else {
    PrintRateLimits(toolbox->registries());
    std::printf("%s\n", options.reference.ToString().c_str());
  }
  return OkStatus();
}

}  // namespace

void AddPull(CLI::App& app, Run& chosen) {
  auto arguments = std::make_shared<Arguments>();
  CLI::App& command = *app.add_subcommand(
      "pull", "Bring an image into containerd; layers that can be lazy stay in the registry");
  command.add_option("IMAGE", arguments->image, "A registry's reference")->required();
  AddContainerdOptions(command, arguments->containerd);
  command.add_option("--snapshotter", arguments->snapshotter, "Name of the proxy plugin")
      ->capture_default_str();
  command.add_option("--platform", arguments->platform, "Of an index, such as linux/arm64");
  command.add_flag("--json", arguments->json, "Print JSON");
  AddRegistryOptions(command, arguments->registries);
  AddDaemonOption(command, arguments->starlingd);
  command.footer(
      "Example: starling pull ghcr.io/me/app:1-esgz && "
      "ctr run --rm --snapshotter stargz ghcr.io/me/app:1-esgz c1");
  command.callback([arguments, &chosen] { chosen = [arguments] { return Pull(*arguments); }; });
}

}  // namespace starling::cli
