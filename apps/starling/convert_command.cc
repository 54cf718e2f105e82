#include <cstdio>
#include <fstream>
#include <memory>
#include <nlohmann/json.hpp>

#include "apps/starling/commands.h"
#include "apps/starling/converted.h"
#include "apps/starling/layer_options.h"
#include "apps/starling/progress_display.h"
#include "apps/starling/toolbox.h"
#include "base/size_text.h"
#include "base/temp_dir.h"
#include "convert/convert.h"

namespace starling::cli {
namespace {

struct Arguments {
  std::string in;
  std::string out;
  std::vector<std::string> platforms;
  std::string prioritized_list;
  LayerOptions layer;
  bool force = false;
  bool json = false;
  RegistryOptions registries;
};

StatusOr<std::vector<std::string>> ReadLines(const std::string& path) {
  std::ifstream file(path);
  if (!file) {
    return MakeError(StatusCode::kNotFound, fmt::format("--prioritize {}: cannot be read", path));
  }
  std::vector<std::string> lines;
  for (std::string line; std::getline(file, line);) {
    if (!line.empty()) {
      lines.push_back(line);
    }
  }
  return lines;
}

StatusOr<convert::ConvertOptions> OptionsOf(const Arguments& arguments) {
  convert::ConvertOptions options{.layer = arguments.layer.write, .force = arguments.force};
  if (!arguments.prioritized_list.empty()) {
    ASSIGN_OR_RETURN(options.layer.prioritized_files, ReadLines(arguments.prioritized_list));
  }
  for (const std::string& text : arguments.platforms) {
    ASSIGN_OR_RETURN(oci::Platform platform, oci::Platform::Parse(text));
    options.platforms.push_back(std::move(platform));
  }
  return options;
}

Status Convert(const Arguments& arguments) {
  ASSIGN_OR_RETURN(convert::ConvertOptions options, OptionsOf(arguments));
  ASSIGN_OR_RETURN(const TempDir spool,
                   TempDir::Make(std::filesystem::temp_directory_path(), "starling-convert-"));
  options.spool_directory = spool.path();
  ASSIGN_OR_RETURN(const auto toolbox, Toolbox::Make(arguments.registries, arguments.in));
  ASSIGN_OR_RETURN(const std::shared_ptr<oci::ImageSource> source,
                   toolbox->OpenSource(arguments.in));
  ASSIGN_OR_RETURN(const std::shared_ptr<oci::ImageDestination> destination,
                   toolbox->OpenDestination(arguments.out));
  const std::unique_ptr<Progress> progress =
      MakeProgress(stderr, arguments.json ? Quiet::kYes : Quiet::kNo);
  ASSIGN_OR_RETURN(const convert::ConvertReport report,
                   convert::ConvertImage(*source, *destination, options, *progress));
  if (arguments.json) {
    std::printf("%s\n", ConvertedToJson(report).dump(2).c_str());
    return OkStatus();
  }
  PrintConverted(arguments.out, report);
  return OkStatus();
}

}  // namespace

void AddConvert(CLI::App& app, Run& chosen) {
  auto arguments = std::make_shared<Arguments>();
  CLI::App& command =
      *app.add_subcommand("convert", "Write an image again with every layer in a lazy format");
  command.add_option("IN", arguments->in, "Image to read")->required();
  command.add_option("OUT", arguments->out, "Image to write")->required();
  command.add_option("--platform", arguments->platforms,
                     "Only these of an index, such as linux/amd64 (default: all)");
  AddLayerOptions(command, arguments->layer);
  command.add_option("--prioritize", arguments->prioritized_list,
                     "File that lists the paths which come first, one a line");
  command.add_flag("--force", arguments->force, "Write again layers that have the format, too");
  command.add_flag("--json", arguments->json, "Print JSON");
  AddRegistryOptions(command, arguments->registries);
  command.footer("Example: starling convert docker://debian:12 oci:images:debian-esgz");
  command.callback([arguments, &chosen] { chosen = [arguments] { return Convert(*arguments); }; });
}

}  // namespace starling::cli
