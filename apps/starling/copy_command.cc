#include <cstdio>
#include <memory>
#include <nlohmann/json.hpp>
#include <optional>

#include "apps/starling/commands.h"
#include "apps/starling/exit_codes.h"
#include "apps/starling/progress_display.h"
#include "apps/starling/rate_limits.h"
#include "apps/starling/toolbox.h"
#include "base/size_text.h"
#include "containerd/content_source.h"
#include "copy/copy.h"

namespace starling::cli {
namespace {

struct Arguments {
  std::string from;
  std::string to;
  ContainerdOptions containerd;
  std::string platform;
  copy::CopyOptions options;
  bool json = false;
  RegistryOptions registries;
  int* exit_code = nullptr;
};

void PrintReport(const registry::Client& registries, const Arguments& arguments,
                 const copy::CopyReport& report) {
  if (arguments.json) {
    const nlohmann::ordered_json json = {{"name", arguments.to},
                                         {"digest", report.target.ToString()},
                                         {"manifests", report.manifests},
                                         {"referrers", report.referrers},
                                         {"sentBlobs", report.sent_blobs},
                                         {"sentSize", report.sent_bytes},
                                         {"mountedBlobs", report.mounted_blobs},
                                         {"presentBlobs", report.present_blobs},
                                         {"foreignLayers", report.foreign_layers},
                                         {"rateLimits", RateLimitsJson(registries)}};
    std::printf("%s\n", json.dump(2).c_str());
    return;
  }
  PrintRateLimits(registries);
  std::printf("%s@%s\n%zu manifests, %zu blobs sent (%s), %zu mounted, %zu there already\n",
              arguments.to.c_str(), report.target.ToString().c_str(), report.manifests,
              report.sent_blobs, SizeText(report.sent_bytes).c_str(), report.mounted_blobs,
              report.present_blobs);
}

Status CopyBetween(Toolbox& toolbox, oci::ImageSource& source, Arguments arguments) {
  if (!arguments.platform.empty()) {
    ASSIGN_OR_RETURN(arguments.options.platform, oci::Platform::Parse(arguments.platform));
  }
  ASSIGN_OR_RETURN(const std::shared_ptr<oci::ImageDestination> destination,
                   toolbox.OpenDestination(arguments.to));
  std::optional<copy::CopyReport> report;
  {
    // Its last lines come before the result.
    const std::unique_ptr<Progress> progress =
        MakeProgress(stderr, arguments.json ? Quiet::kYes : Quiet::kNo);
    ASSIGN_OR_RETURN(report, copy::CopyImage(source, *destination, arguments.options, *progress));
  }
  PrintReport(toolbox.registries(), arguments, *report);
  return OkStatus();
}

Status Copy(const Arguments& arguments) {
  ASSIGN_OR_RETURN(const auto toolbox,
                   Toolbox::Make(arguments.registries, arguments.from, arguments.to));
  ASSIGN_OR_RETURN(const std::shared_ptr<oci::ImageSource> source,
                   toolbox->OpenSource(arguments.from));
  return CopyBetween(*toolbox, *source, arguments);
}

Status Push(Arguments arguments) {
  ASSIGN_OR_RETURN(const transport::ImageName from, transport::ImageName::Parse(arguments.from));
  const bool is_in_containerd = from.kind == transport::Kind::kRegistry;
  if (arguments.to.empty()) {
    if (!is_in_containerd) {
      return MakeError(StatusCode::kInvalidArgument,
                       fmt::format("{} is in files: say where to push it (starling push {} "
                                   "REGISTRY/REPOSITORY:TAG)",
                                   arguments.from, arguments.from));
    }
    arguments.to = from.reference;
  }
  ASSIGN_OR_RETURN(const transport::ImageName to, transport::ImageName::Parse(arguments.to));
  if (to.kind != transport::Kind::kRegistry) {
    return MakeError(
        StatusCode::kInvalidArgument,
        fmt::format("{} is not in a registry; starling copy writes files", arguments.to));
  }
  ASSIGN_OR_RETURN(const auto toolbox, Toolbox::Make(arguments.registries, arguments.to));
  if (!is_in_containerd) {
    ASSIGN_OR_RETURN(const std::shared_ptr<oci::ImageSource> source,
                     toolbox->OpenSource(arguments.from));
    return CopyBetween(*toolbox, *source, arguments);
  }
  ASSIGN_OR_RETURN(const oci::Reference reference, oci::Reference::Parse(from.reference));
  containerd::Client client({.address = arguments.containerd.address,
                             .namespace_name = arguments.containerd.namespace_name});
  RETURN_IF_ERROR(client.Version().status());
  containerd::ContentSource source(client, reference.ToString());
  return CopyBetween(*toolbox, source, arguments);
}

void AddCopyOptions(CLI::App& command, Arguments& arguments) {
  command.add_option("--platform", arguments.platform,
                     "Only this image of an index, such as linux/arm64 (default: all of it)");
  command.add_flag("--allow-foreign", arguments.options.allow_foreign,
                   "Also images with layers that are not distributed with them, which stay where "
                   "they are");
  command.add_option("--parallel", arguments.options.blobs_at_once, "Blobs under way at once")
      ->check(CLI::Range(1, 32))
      ->capture_default_str();
  command.add_flag("--json", arguments.json, "Print JSON");
  AddRegistryOptions(command, arguments.registries);
}

/// Runs `command` and, when it fails, tells the exit code from its error.
void Choose(CLI::App& command, const std::shared_ptr<Arguments>& arguments, Run& chosen,
            Status (*run)(const Arguments&)) {
  command.callback([arguments, run, &chosen] {
    chosen = [arguments, run] {
      const Status result = run(*arguments);
      *arguments->exit_code = ExitCodeOf(result);
      return result;
    };
  });
}

}  // namespace

void AddPush(CLI::App& app, Run& chosen, int& exit_code) {
  const auto arguments = std::make_shared<Arguments>();
  arguments->exit_code = &exit_code;
  CLI::App& command =
      *app.add_subcommand("push", "Store an image of containerd's, or of files, in a registry");
  command
      .add_option("SRC", arguments->from,
                  "An image's name in containerd, or oci:DIRECTORY[:TAG], oci-archive:FILE[:TAG], "
                  "docker-archive:FILE[:REFERENCE]")
      ->required();
  command.add_option("DST", arguments->to,
                     "A registry's reference (default: the name in containerd)");
  AddContainerdOptions(command, arguments->containerd);
  AddCopyOptions(command, *arguments);
  command.footer(std::string(kExitCodesHelp) +
                 "\nExample: starling push oci:images:app ghcr.io/me/app:1");
  Choose(command, arguments, chosen, [](const Arguments& given) { return Push(given); });
}

void AddCopy(CLI::App& app, Run& chosen, int& exit_code) {
  const auto arguments = std::make_shared<Arguments>();
  arguments->exit_code = &exit_code;
  CLI::App& command =
      *app.add_subcommand("copy", "Copy an image or index byte for byte, without a file between");
  command.add_option("SRC", arguments->from, "Image to read")->required();
  command.add_option("DST", arguments->to, "Image to write")->required();
  command.add_flag("--referrers", arguments->options.referrers,
                   "Also signatures, SBOMs and whatever else names the image as its subject");
  AddCopyOptions(command, *arguments);
  command.add_option("--dest-secret", arguments->registries.destination_secret,
                     "As --secret, which is for SRC, but for DST");
  command.footer(
      "Within a registry blobs are mounted, not moved; blobs that DST has are not read.\n" +
      std::string(kExitCodesHelp) +
      "\nExample: starling copy docker.io/library/debian:12 ghcr.io/me/debian:12");
  Choose(command, arguments, chosen, Copy);
}

}  // namespace starling::cli
