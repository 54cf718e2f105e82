#include <cstdio>
#include <fstream>
#include <map>
#include <memory>
#include <nlohmann/json.hpp>
#include <optional>
#include <thread>

#include "apps/starling/commands.h"
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
  size_t threads = std::thread::hardware_concurrency();
  estargz::WriteFormat format = estargz::WriteFormat::kEstargz;
  std::optional<int> level;
  uint64_t chunk_size_bytes = estargz::WriteOptions().chunk_size_bytes;
  uint64_t min_chunk_size_bytes = estargz::WriteOptions().shared_member_bytes;
  bool force = false;
  bool json = false;
  RegistryOptions registries;
};

/// As the tools of each format call it, and without characters that some would rather not type.
const std::map<std::string, estargz::WriteFormat>& FormatNames() {
  static const std::map<std::string, estargz::WriteFormat> kNames = {
      {"estargz", estargz::WriteFormat::kEstargz},
      {"zstd:chunked", estargz::WriteFormat::kContainersZstd},
      {"zstd-chunked", estargz::WriteFormat::kContainersZstd},
      {"zstdchunked", estargz::WriteFormat::kStargzZstd},
      {"zstd-chunked-stargz", estargz::WriteFormat::kStargzZstd},
  };
  return kNames;
}

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

nlohmann::ordered_json ToJson(const convert::ConvertReport& report) {
  nlohmann::ordered_json layers = nlohmann::ordered_json::array();
  for (const convert::ConvertedLayer& layer : report.layers) {
    layers.push_back({{"from", layer.from.digest.ToString()},
                      {"fromSize", layer.from.size_bytes},
                      {"to", layer.to.digest.ToString()},
                      {"toSize", layer.to.size_bytes},
                      {"reused", layer.reused}});
  }
  return {{"digest", report.target.ToString()}, {"layers", std::move(layers)}};
}

StatusOr<convert::ConvertOptions> OptionsOf(const Arguments& arguments) {
  convert::ConvertOptions options;
  options.layer.threads = std::max<size_t>(arguments.threads, 1);
  options.layer.format = arguments.format;
  options.layer.compression_level = arguments.level;
  options.layer.chunk_size_bytes = arguments.chunk_size_bytes;
  options.layer.shared_member_bytes = arguments.min_chunk_size_bytes;
  options.force = arguments.force;
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
    std::printf("%s\n", ToJson(report).dump(2).c_str());
    return OkStatus();
  }
  uint64_t before_bytes = 0;
  uint64_t after_bytes = 0;
  for (const convert::ConvertedLayer& layer : report.layers) {
    before_bytes += layer.from.size_bytes;
    after_bytes += layer.to.size_bytes;
  }
  std::printf("%s@%s\n%zu layers, %s before, %s now\n", arguments.out.c_str(),
              report.target.ToString().c_str(), report.layers.size(),
              SizeText(before_bytes).c_str(), SizeText(after_bytes).c_str());
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
  command.add_option("--threads", arguments->threads, "Compressing threads")
      ->check(CLI::Range(1, 256))
      ->capture_default_str();
  command
      .add_option("--format", arguments->format,
                  "estargz; zstd:chunked (podman, buildah, skopeo); zstdchunked (nerdctl, "
                  "stargz-snapshotter)")
      ->transform(CLI::CheckedTransformer(FormatNames()).description(""))
      ->option_text("FORMAT [estargz]");
  command
      .add_option("--level", arguments->level,
                  fmt::format("Compression level: of libdeflate to {}, default {}; of zstd to {}, "
                              "default {}",
                              estargz::MaxLevel(estargz::WriteFormat::kEstargz),
                              estargz::DefaultLevel(estargz::WriteFormat::kEstargz),
                              estargz::MaxLevel(estargz::WriteFormat::kStargzZstd),
                              estargz::DefaultLevel(estargz::WriteFormat::kStargzZstd)))
      ->check(CLI::Range(1, estargz::MaxLevel(estargz::WriteFormat::kStargzZstd)));
  command.add_option("--chunk-size", arguments->chunk_size_bytes, "Bytes a chunk at most")
      ->check(CLI::Range(estargz::kMinChunkBytes, estargz::kMaxChunkBytes))
      ->capture_default_str();
  command
      .add_option("--min-chunk-size", arguments->min_chunk_size_bytes,
                  "Compress small files together, up to so many bytes, into smaller layers for "
                  "readers that know innerOffset; 0: each alone")
      ->check(CLI::Range(uint64_t{0}, estargz::kMaxSharedMemberBytes))
      ->capture_default_str();
  command.add_option("--prioritize", arguments->prioritized_list,
                     "File that lists the paths which come first, one a line");
  command.add_flag("--force", arguments->force, "Write again layers that have the format, too");
  command.add_flag("--json", arguments->json, "Print JSON");
  AddRegistryOptions(command, arguments->registries);
  command.footer("Example: starling convert docker://debian:12 oci:images:debian-esgz");
  command.callback([arguments, &chosen] { chosen = [arguments] { return Convert(*arguments); }; });
}

}  // namespace starling::cli
