#include <cstdio>
#include <memory>
#include <nlohmann/json.hpp>

#include "apps/starling/commands.h"
#include "apps/starling/toolbox.h"
#include "base/size_text.h"
#include "base/text.h"
#include "inspect/inspect.h"

namespace starling::cli {
namespace {

struct Arguments {
  std::string image;
  std::string platform;
  RegistryOptions registries;
  bool json = false;
};

nlohmann::ordered_json ToJson(const inspect::ImageReport& report) {
  nlohmann::ordered_json layers = nlohmann::ordered_json::array();
  for (const inspect::LayerReport& layer : report.layers) {
    nlohmann::ordered_json entry = {{"digest", layer.descriptor.digest.ToString()},
                                    {"mediaType", layer.descriptor.media_type},
                                    {"size", layer.descriptor.size_bytes},
                                    {"format", inspect::NameOf(layer.format)},
                                    {"lazy", layer.lazy}};
    if (layer.toc_digest) {
      entry["tocDigest"] = layer.toc_digest->ToString();
      entry["files"] = layer.files;
      entry["contentSize"] = layer.content_bytes;
    }
    if (!layer.lazy) {
      entry["reason"] = layer.reason;
    }
    if (!layer.note.empty()) {
      entry["note"] = layer.note;
    }
    layers.push_back(std::move(entry));
  }
  return {{"name", report.name},
          {"digest", report.target.ToString()},
          {"manifest", report.manifest.ToString()},
          {"size", report.size_bytes()},
          {"lazy", report.lazy()},
          {"layers", std::move(layers)}};
}

void Print(const inspect::ImageReport& report) {
  std::printf("%s\n  digest    %s\n", report.name.c_str(), report.target.ToString().c_str());
  if (report.manifest != report.target) {
    std::printf("  manifest  %s\n", report.manifest.ToString().c_str());
  }
  std::printf("  size      %s in %zu layers\n", SizeText(report.size_bytes()).c_str(),
              report.layers.size());
  std::printf("  lazy      %s\n", report.lazy() ? "yes" : "no");
  for (const inspect::LayerReport& layer : report.layers) {
    std::printf("\n  %s\n    %s, %s", layer.descriptor.digest.ToString().c_str(),
                std::string(inspect::NameOf(layer.format)).c_str(),
                SizeText(layer.descriptor.size_bytes).c_str());
    if (layer.toc_digest) {
      std::printf(", %llu files of %s\n    TOC %s", static_cast<unsigned long long>(layer.files),
                  SizeText(layer.content_bytes).c_str(), layer.toc_digest->ToString().c_str());
    }
    std::printf("\n    %s%s%s%s\n", layer.lazy ? "lazy" : "not lazy: ", Shown(layer.reason).c_str(),
                layer.note.empty() ? "" : " ", layer.note.c_str());
  }
}

Status Inspect(const Arguments& arguments) {
  ASSIGN_OR_RETURN(const oci::Platform platform,
                   arguments.platform.empty() ? StatusOr<oci::Platform>(oci::Platform::Host())
                                              : oci::Platform::Parse(arguments.platform));
  ASSIGN_OR_RETURN(const auto toolbox, Toolbox::Make(arguments.registries, arguments.image));
  ASSIGN_OR_RETURN(const std::shared_ptr<oci::ImageSource> source,
                   toolbox->OpenSource(arguments.image));
  const auto toc_image = toolbox->TocImageOf(source);
  ASSIGN_OR_RETURN(const inspect::ImageReport report,
                   inspect::InspectImage(*source, platform, toc_image.get()));
  if (arguments.json) {
    std::printf(
        "%s\n",
        ToJson(report).dump(2, ' ', false, nlohmann::json::error_handler_t::replace).c_str());
  } else {
    Print(report);
  }
  return OkStatus();
}

}  // namespace

void AddInspect(CLI::App& app, Run& chosen) {
  auto arguments = std::make_shared<Arguments>();
  CLI::App& command = *app.add_subcommand(
      "inspect", "Show an image's layers: format, size, and whether they would be lazy");
  command.add_option("IMAGE", arguments->image)->required();
  command.add_option("--platform", arguments->platform, "Of an index, such as linux/arm64");
  command.add_flag("--json", arguments->json, "Print JSON");
  AddRegistryOptions(command, arguments->registries);
  command.footer("Example: starling inspect --json ghcr.io/me/app:1");
  command.callback([arguments, &chosen] { chosen = [arguments] { return Inspect(*arguments); }; });
}

}  // namespace starling::cli
