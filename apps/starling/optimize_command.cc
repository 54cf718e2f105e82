#include <algorithm>
#include <cstdio>
#include <map>
#include <memory>
#include <nlohmann/json.hpp>
#include <optional>

#include "apps/starling/artifacts.h"
#include "apps/starling/commands.h"
#include "apps/starling/converted.h"
#include "apps/starling/layer_options.h"
#include "apps/starling/progress_display.h"
#include "apps/starling/recorded_run.h"
#include "apps/starling/toolbox.h"
#include "base/file_system.h"
#include "base/size_text.h"
#include "base/temp_dir.h"
#include "convert/convert.h"
#include "erofs/image_reader.h"
#include "layer/gzip_index_store.h"
#include "layer/layer_opener.h"
#include "layer/needed_files.h"
#include "layer/profile_store.h"

namespace starling::cli {
namespace {

using Json = nlohmann::ordered_json;
using layer::AccessProfile;
using layer::NeededFile;

/// Of the copy that runs are recorded on: what is needed is known by the chunk.
constexpr uint64_t kRecordedChunkBytes = 128 << 10;

/// Of large files that runs read in parts: a chunk is what is fetched at least, and each costs a
/// place in the index.
constexpr uint64_t kPartChunkBytes = 256 << 10;

struct Arguments {
  std::string image;
  std::string target;
  bool makes_profile = false;
  uint32_t runs = 1;
  std::optional<double> time_sec;
  std::string wait_for;
  std::string root = "/var/lib/starling";
  std::string platform;
  std::vector<std::string> command;
  LayerOptions layer;
  RegistryOptions registries;
  bool json = false;

  mount::RunUntil until() const {
    mount::RunUntil until{.time = {}, .printed = wait_for};
    if (time_sec) {
      until.time = std::chrono::duration_cast<std::chrono::milliseconds>(
          std::chrono::duration<double>(*time_sec));
    }
    return until;
  }
};

/// What all runs needed together.
StatusOr<AccessProfile> RecordRuns(const Arguments& arguments,
                                   const std::shared_ptr<oci::ImageSource>& source,
                                   const RecordOptions& options) {
  std::optional<AccessProfile> all;
  for (uint32_t i = 1; i <= arguments.runs; ++i) {
    ASSIGN_OR_RETURN(const RecordedRun run, RecordRun(source, options));
    RETURN_IF_ERROR(CheckEnd(run, "nothing was written"));
    if (!arguments.wait_for.empty() && !run.end.was_reached) {
      return MakeError(StatusCode::kAborted,
                       fmt::format("{} ended without printing \"{}\"; nothing was written",
                                   run.command, arguments.wait_for));
    }
    std::fprintf(stderr, "run %u of %u needed %s\n", i, arguments.runs,
                 SizeText(run.profile.needed_bytes()).c_str());
    if (!all) {
      all = run.profile;
    } else {
      ASSIGN_OR_RETURN(all, AccessProfile::Merge(*all, run.profile));
    }
  }
  if (all->needed_bytes() == 0) {
    return MakeError(StatusCode::kFailedPrecondition, "the runs read no file of the image");
  }
  return *std::move(all);
}

/// What runs read of a layer.
struct LayerNeeds {
  std::vector<NeededFile> first;     // come first
  std::vector<NeededFile> in_parts;  // have smaller chunks
};
using Needs = std::map<oci::Digest, LayerNeeds>;  // by the layer's digest

StatusOr<Needs> FindNeeds(oci::ImageSource& source, const oci::Manifest& manifest,
                          const AccessProfile& profile) {
  Needs needs;
  for (const oci::Descriptor& layer : manifest.layers) {
    LayerNeeds& of_layer = needs[layer.digest];
    for (const layer::LayerAccess& access : profile.layers()) {
      if (access.key.layer == layer.digest && of_layer.first.empty()) {
        ASSIGN_OR_RETURN(const layer::LayerIndex index, layer::ReadIndex(source, layer));
        ASSIGN_OR_RETURN(const erofs::ImageReader reader, erofs::ImageReader::Open(index.image));
        const std::vector<NeededFile> files = layer::FindNeededFiles(reader, access.ranges);
        of_layer = {.first = layer::WorthPrefetching(files, profile.runs(), index.info),
                    .in_parts = layer::ReadInParts(files, index.info)};
      }
    }
  }
  return needs;
}

/// A list for each layer.
Json FilesToJson(const oci::Manifest& manifest, const Needs& needs,
                 std::vector<NeededFile> LayerNeeds::* files) {
  Json json = Json::array();
  for (const oci::Descriptor& layer : manifest.layers) {
    Json names = Json::array();
    for (const NeededFile& file : needs.at(layer.digest).*files) {
      names.push_back({{"path", file.path},
                       {"size", file.size_bytes},
                       {"neededSize", file.needed_bytes},
                       {"parts", file.parts},
                       {"firstNeedSeconds", std::chrono::duration<double>(file.first_need).count()},
                       {"runs", file.runs}});
    }
    json.push_back(std::move(names));
  }
  return json;
}

void Print(const Arguments& arguments, const convert::ConvertReport& report, const Needs& needs) {
  size_t count = 0;
  size_t in_parts = 0;
  uint64_t sum_bytes = 0;
  for (const auto& [layer, files] : needs) {
    count += files.first.size();
    in_parts += files.in_parts.size();
    for (const NeededFile& file : files.first) {
      sum_bytes += file.size_bytes;
    }
  }
  PrintConverted(arguments.target, report);
  std::printf("%zu files of %s come first, %zu that are read in parts have smaller chunks\n", count,
              SizeText(sum_bytes).c_str(), in_parts);
}

/// Writes the image again, the files that runs needed first in each layer.
Status WriteImage(const Arguments& arguments, Toolbox& toolbox, const oci::Platform& platform,
                  oci::ImageSource& source, const std::filesystem::path& scratch) {
  ASSIGN_OR_RETURN(const std::shared_ptr<oci::ImageDestination> destination,
                   toolbox.OpenDestination(arguments.target));
  const std::unique_ptr<Progress> progress =
      MakeProgress(stderr, arguments.json ? Quiet::kYes : Quiet::kNo);
  // Runs are recorded on a copy: any image can be, by the chunk, without another download.
  const std::string copy = fmt::format("oci:{}:image", (scratch / "copy").string());
  ASSIGN_OR_RETURN(const std::shared_ptr<oci::ImageDestination> into_copy,
                   toolbox.OpenDestination(copy));
  NoProgress silent;
  ASSIGN_OR_RETURN(const convert::ConvertReport copied,
                   convert::ConvertImage(source, *into_copy,
                                         {.layer = {.format = estargz::WriteFormat::kStargzZstd,
                                                    .chunk_size_bytes = kRecordedChunkBytes,
                                                    .compression_level = 1,
                                                    .threads = arguments.layer.write.threads},
                                          .platforms = {platform},
                                          .spool_directory = scratch,
                                          .force = true},
                                         silent));
  ASSIGN_OR_RETURN(const std::shared_ptr<oci::ImageSource> from_copy, toolbox.OpenSource(copy));
  ASSIGN_OR_RETURN(const AccessProfile profile, RecordRuns(arguments, from_copy,
                                                           {.root = scratch / "root",
                                                            .gzip_indexes = scratch / "none",
                                                            .platform = platform,
                                                            .command = arguments.command,
                                                            .until = arguments.until()}));
  ASSIGN_OR_RETURN(const oci::SelectedImage image, oci::SelectImage(*from_copy, platform));
  ASSIGN_OR_RETURN(const Needs needs, FindNeeds(*from_copy, image.manifest, profile));
  convert::ConvertOptions options{.layer = arguments.layer.write,
                                  .platforms = {platform},
                                  .spool_directory = scratch,
                                  .force = true};
  const uint64_t part_bytes = std::min(kPartChunkBytes, arguments.layer.write.chunk_size_bytes);
  for (const auto& [layer, files] : needs) {
    convert::ConvertOptions::LayerFiles& known = options.layer_files[layer];
    for (const NeededFile& file : files.first) {
      known.prioritized.push_back(file.path);
    }
    for (const NeededFile& file : files.in_parts) {
      known.chunk_size_bytes_of[file.path] = part_bytes;
    }
  }
  ASSIGN_OR_RETURN(convert::ConvertReport report,
                   convert::ConvertImage(*from_copy, *destination, options, *progress));
  // Of the image that was given, not of the copy.
  for (size_t i = 0; i < report.layers.size() && i < copied.layers.size(); ++i) {
    report.layers[i].from = copied.layers[i].from;
  }
  if (arguments.json) {
    Json json = ConvertedToJson(report);
    json["runs"] = profile.runs();
    json["neededSize"] = profile.needed_bytes();
    json["firstFiles"] = FilesToJson(image.manifest, needs, &LayerNeeds::first);
    json["filesInParts"] = FilesToJson(image.manifest, needs, &LayerNeeds::in_parts);
    std::printf("%s\n", json.dump(2, ' ', false, Json::error_handler_t::replace).c_str());
  } else {
    Print(arguments, report, needs);
  }
  return OkStatus();
}

/// Attaches what runs needed to the image, which stays as it is.
Status WriteProfile(const Arguments& arguments, Toolbox& toolbox, const oci::Platform& platform,
                    const std::shared_ptr<oci::ImageSource>& source,
                    const std::filesystem::path& scratch) {
  ASSIGN_OR_RETURN(const std::shared_ptr<registry::Referrers> referrers,
                   toolbox.OpenReferrers(arguments.image));
  ASSIGN_OR_RETURN(const oci::SelectedImage image, oci::SelectImage(*source, platform));
  const std::filesystem::path root(arguments.root);
  ASSIGN_OR_RETURN(const AccessProfile profile,
                   RecordRuns(arguments, source,
                              {.root = scratch / "root",
                               .gzip_indexes = root / layer::GzipIndexStore::kDirectoryName,
                               .platform = platform,
                               .command = arguments.command,
                               .until = arguments.until()}));
  ASSIGN_OR_RETURN(const oci::Descriptor artifact,
                   AttachProfile(*referrers, SubjectOf(image), profile));
  if (arguments.json) {
    const Json json = {{"artifact", artifact.digest.ToString()},
                       {"image", image.raw_manifest.digest.ToString()},
                       {"runs", profile.runs()},
                       {"neededSize", profile.needed_bytes()}};
    std::printf("%s\n", json.dump(2).c_str());
  } else {
    std::printf("%s\n", artifact.digest.ToString().c_str());
  }
  return OkStatus();
}

Status Optimize(const Arguments& arguments) {
  if (arguments.makes_profile == !arguments.target.empty()) {
    return MakeError(StatusCode::kInvalidArgument,
                     "give either --profile, for what runs need beside the image, or --target, for "
                     "an image that is ordered by it");
  }
  LeaveStopSignalsToCommand();
  ASSIGN_OR_RETURN(const oci::Platform platform, PlatformOf(arguments.platform));
  ASSIGN_OR_RETURN(const TempDir scratch,
                   TempDir::Make(std::filesystem::temp_directory_path(), "starling-optimize-"));
  ASSIGN_OR_RETURN(const auto toolbox, Toolbox::Make(arguments.registries, arguments.image));
  ASSIGN_OR_RETURN(const std::shared_ptr<oci::ImageSource> source,
                   toolbox->OpenSource(arguments.image));
  return arguments.makes_profile
             ? WriteProfile(arguments, *toolbox, platform, source, scratch.path())
             : WriteImage(arguments, *toolbox, platform, *source, scratch.path());
}

}  // namespace

void AddOptimize(CLI::App& app, Run& chosen) {
  const auto arguments = std::make_shared<Arguments>();
  CLI::App& command = *app.add_subcommand(
      "optimize", "Run an image and have what it reads come first the next time; needs root");
  command.add_option("IMAGE", arguments->image)->required();
  command.add_option("-t,--target", arguments->target,
                     "Write the image again under this name, what is read first in front");
  command.add_flag("--profile", arguments->makes_profile,
                   "Attach what is read to the image in its registry, which stays as it is");
  command.add_option("--runs", arguments->runs, "Run the command so often")
      ->check(CLI::Range(uint32_t{1}, AccessProfile::kMaxRuns))
      ->capture_default_str();
  command.add_option("--time", arguments->time_sec, "End each run after so many seconds")
      ->check(CLI::Range(0.001, 86400.0));
  command.add_option("--wait-for", arguments->wait_for, "End each run when it has printed this");
  command.add_option("COMMAND", arguments->command, "Instead of the image's own");
  command.add_option("--platform", arguments->platform, "Of an index, such as linux/arm64");
  command
      .add_option("--root", arguments->root,
                  "Its gzip-indexes/ keeps what this machine trusts, for --profile")
      ->capture_default_str();
  AddLayerOptions(command, arguments->layer);
  command.add_flag("--json", arguments->json, "Print JSON");
  AddRegistryOptions(command, arguments->registries);
  command.footer(
      "Example: starling optimize ghcr.io/me/app:1 -t ghcr.io/me/app:1-fast --wait-for 'listening "
      "on'");
  command.callback([arguments, &chosen] { chosen = [arguments] { return Optimize(*arguments); }; });
}

}  // namespace starling::cli
