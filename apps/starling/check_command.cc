#include <algorithm>
#include <cstdio>
#include <memory>
#include <nlohmann/json.hpp>
#include <optional>

#include "apps/starling/artifacts.h"
#include "apps/starling/commands.h"
#include "apps/starling/exit_codes.h"
#include "apps/starling/toolbox.h"
#include "base/file_system.h"
#include "base/size_text.h"
#include "base/text.h"
#include "config/settings.h"
#include "inspect/check.h"
#include "layer/chunk_table.h"
#include "layer/gzip_index_artifact.h"
#include "layer/gzip_index_store.h"
#include "layer/index_builder.h"
#include "layer/profile_store.h"

namespace starling::cli {
namespace {

using Json = nlohmann::ordered_json;
using inspect::Circumstances;

// Beside those of commands that reach registries (exit_codes.h).
constexpr int kSomeAreNotLazy = 6;
constexpr int kNoneIsLazy = 7;

struct Arguments {
  std::string image;
  std::string platform;
  std::optional<std::string> config;
  std::optional<std::string> root;
  RegistryOptions registries;
  bool json = false;
};

layer::FetchPreference PreferenceOf(const config::Settings::Fetch& fetch) {
  // Nothing is fetched at once by a starlingd that fetches nothing without being asked.
  if (!fetch.background || fetch.policy == config::FetchPreference::kLazy) {
    return layer::FetchPreference::kLazy;
  }
  return fetch.policy == config::FetchPreference::kEager ? layer::FetchPreference::kEager
                                                         : layer::FetchPreference::kAuto;
}

/// Whether starlingd takes what is attached to images of this registry.
bool TrustsIndexesOf(const std::string& image, const std::vector<std::string>& registries) {
  const auto name = transport::ImageName::Parse(image);
  if (!name.ok() || name->kind != transport::Kind::kRegistry) {
    return false;
  }
  const auto reference = oci::Reference::Parse(name->reference);
  return reference.ok() && std::ranges::any_of(registries, [&](const std::string& registry) {
           return registry == "*" || registry == reference->domain();
         });
}

/// The index of a plain layer that is kept below `root`, if one is.
std::optional<inspect::KeptIndex> FindIndex(layer::GzipIndexStore& indexes,
                                            const oci::Digest& layer) {
  const auto kept = indexes.Find(layer);
  const auto index = kept.ok() ? layer::BuildIndex(*kept) : kept.status();
  const auto table = index.ok() ? layer::ChunkTable::Open(index->chunk_table) : index.status();
  if (!table.ok()) {
    return std::nullopt;
  }
  return inspect::KeptIndex{.digest = kept->digest(), .data_bytes = table->data_size_bytes()};
}

Status FindOnThisMachine(const std::filesystem::path& root, const inspect::ImageReport& image,
                         Circumstances& circumstances) {
  layer::ProfileStore profiles(root / layer::ProfileStore::kDirectoryName, RealFileSystem());
  if (auto profile = profiles.Find(image.manifest); profile.ok()) {
    circumstances.profile = *std::move(profile);
  } else if (profile.status().code() != StatusCode::kNotFound) {
    return Annotate(profile.status(), "what this machine knows of the image");
  }
  layer::GzipIndexStore indexes(root / layer::GzipIndexStore::kDirectoryName, RealFileSystem());
  for (const inspect::LayerReport& layer : image.layers) {
    if (layer.format == inspect::LayerFormat::kGzip) {
      if (const auto kept = FindIndex(indexes, layer.descriptor.digest)) {
        circumstances.kept_indexes.emplace(layer.descriptor.digest, *kept);
      }
    }
  }
  return OkStatus();
}

/// The newest manifest of a type about the image; nothing when there is none.
StatusOr<std::optional<oci::Manifest>> FindNewest(registry::Referrers& referrers,
                                                  const oci::Digest& image, std::string_view type) {
  auto found = referrers.NewestManifest(image, type);
  if (found.ok()) {
    return std::optional(*std::move(found));
  }
  return found.status().code() == StatusCode::kNotFound
             ? StatusOr<std::optional<oci::Manifest>>(std::nullopt)
             : found.status();
}

/// What of it would matter here.
StatusOr<Circumstances::Attached> FindAttached(registry::Referrers& referrers,
                                               const inspect::ImageReport& image,
                                               const Circumstances& circumstances) {
  Circumstances::Attached attached;
  if (!circumstances.profile) {
    ASSIGN_OR_RETURN(const auto profile,
                     FindNewest(referrers, image.manifest, layer::kAccessProfileType));
    attached.profile = profile.has_value();
  }
  const bool wants_indexes =
      std::ranges::any_of(image.layers, [&](const inspect::LayerReport& layer) {
        return layer.format == inspect::LayerFormat::kGzip &&
               !circumstances.kept_indexes.contains(layer.descriptor.digest);
      });
  if (wants_indexes) {
    ASSIGN_OR_RETURN(const auto indexes,
                     FindNewest(referrers, image.manifest, layer::kGzipIndexType));
    for (const oci::Descriptor& part : indexes ? indexes->layers : std::vector<oci::Descriptor>()) {
      const auto named = part.annotations.find(std::string(layer::kGzipIndexLayerAnnotation));
      const auto digest = oci::Digest::Parse(named == part.annotations.end() ? "" : named->second);
      if (digest.ok()) {
        attached.indexed_layers.insert(*digest);
      }
    }
  }
  return attached;
}

std::string_view LandmarkName(inspect::Landmark landmark) {
  switch (landmark) {
    case inspect::Landmark::kPrefetch:
      return "prefetch";
    case inspect::Landmark::kNoPrefetch:
      return "no-prefetch";
    case inspect::Landmark::kNone:
      break;
  }
  return "none";
}

Json ToJson(const inspect::LayerReport& layer, const inspect::LayerVerdict& verdict) {
  Json json = {{"digest", layer.descriptor.digest.ToString()},
               {"format", inspect::NameOf(layer.format)},
               {"size", layer.descriptor.size_bytes},
               {"treatment", inspect::NameOf(verdict.treatment)},
               {"lazy", verdict.is_lazy()},
               {"mode", verdict.is_lazy() ? Json(layer::NameOf(verdict.mode)) : Json()},
               {"reason", verdict.reason}};
  if (layer.toc_digest) {
    json["tocSize"] = layer.toc_bytes;
    json["files"] = layer.files;
    json["contentSize"] = layer.content_bytes;
    json["landmark"] = LandmarkName(layer.landmark);
    json["prefetchSize"] = layer.prefetch_bytes;
    json["chunks"] = layer.chunks;
    json["hugeChunks"] = layer.huge_chunks;
    json["largestChunkSize"] = layer.largest_chunk_bytes;
    json["largestMemberSize"] = layer.largest_member_bytes;
  }
  if (!layer.note.empty()) {
    json["note"] = layer.note;
  }
  return json;
}

Json ToJson(const inspect::CheckReport& report, const Circumstances& circumstances) {
  Json layers = Json::array();
  for (size_t i = 0; i < report.verdicts.size(); ++i) {
    layers.push_back(ToJson(report.image.layers[i], report.verdicts[i]));
  }
  Json advice = Json::array();
  for (const inspect::Advice& entry : report.advice) {
    advice.push_back({{"id", entry.id},
                      {"text", entry.text},
                      {"numbers", entry.numbers},
                      {"commands", entry.commands}});
  }
  Json profile;
  if (circumstances.profile) {
    profile = {{"runs", circumstances.profile->runs()},
               {"neededSize", circumstances.profile->needed_bytes()}};
  }
  return {{"name", report.image.name},
          {"digest", report.image.target.ToString()},
          {"manifest", report.image.manifest.ToString()},
          {"size", report.image.size_bytes()},
          {"aheadSize", report.ahead_bytes()},
          {"lazyLayers", report.lazy_layers()},
          {"profile", std::move(profile)},
          {"layers", std::move(layers)},
          {"advice", std::move(advice)}};
}

std::string VerdictText(const inspect::LayerVerdict& verdict) {
  switch (verdict.treatment) {
    case inspect::Treatment::kLazy:
      return std::string(layer::NameOf(verdict.mode));
    case inspect::Treatment::kLazyByIndex:
      return fmt::format("{} by an index of this machine", layer::NameOf(verdict.mode));
    case inspect::Treatment::kWhole:
      return "fetched as a whole";
    case inspect::Treatment::kLeft:
      return "left to containerd";
    case inspect::Treatment::kImpossible:
      break;
  }
  return "cannot be mounted";
}

void Print(const inspect::CheckReport& report) {
  const inspect::ImageReport& image = report.image;
  std::printf("%s\n  %zu of %zu layers are lazy here; %s of %s come before a container starts\n",
              image.name.c_str(), report.lazy_layers(), image.layers.size(),
              SizeText(report.ahead_bytes()).c_str(), SizeText(image.size_bytes()).c_str());
  for (size_t i = 0; i < report.verdicts.size(); ++i) {
    const inspect::LayerReport& layer = image.layers[i];
    std::printf("  %s  %s, %s\n    %s: %s\n",
                layer.descriptor.digest.ToString().substr(0, 19).c_str(),
                std::string(inspect::NameOf(layer.format)).c_str(),
                SizeText(layer.descriptor.size_bytes).c_str(),
                VerdictText(report.verdicts[i]).c_str(), Shown(report.verdicts[i].reason).c_str());
    if (layer.landmark == inspect::Landmark::kPrefetch) {
      std::printf("    its first %s are prefetched\n", SizeText(layer.prefetch_bytes).c_str());
    }
  }
  for (const inspect::Advice& advice : report.advice) {
    std::printf("better: %s\n", advice.text.c_str());
    for (const std::string& command : advice.commands) {
      std::printf("    %s\n", command.c_str());
    }
  }
}

Status RunCheck(const Arguments& arguments, int& exit_code) {
  ASSIGN_OR_RETURN(const oci::Platform platform, PlatformOf(arguments.platform));
  ASSIGN_OR_RETURN(const config::ParsedSettings parsed,
                   config::ReadSettings(RealFileSystem(), arguments.config));
  const config::Settings& settings = parsed.settings;
  ASSIGN_OR_RETURN(const auto toolbox, Toolbox::Make(arguments.registries, arguments.image));
  ASSIGN_OR_RETURN(const std::shared_ptr<oci::ImageSource> source,
                   toolbox->OpenSource(arguments.image));
  const auto toc_image = toolbox->TocImageOf(source);
  ASSIGN_OR_RETURN(inspect::ImageReport image,
                   inspect::InspectImage(*source, platform, toc_image.get()));
  Circumstances circumstances{
      .preference = PreferenceOf(settings.fetch),
      .takes_plain_layers = settings.fetch.plain_layers == config::PlainLayers::kEager,
      .keeps_gzip_indexes = settings.fetch.keep_gzip_indexes};
  RETURN_IF_ERROR(FindOnThisMachine(arguments.root.value_or(settings.root), image, circumstances));
  if (const auto referrers = toolbox->OpenReferrers(arguments.image); referrers.ok()) {
    auto attached = FindAttached(**referrers, image, circumstances);
    if (attached.ok()) {
      attached->is_trusted = TrustsIndexesOf(arguments.image, settings.fetch.gzip_indexes_from);
      circumstances.attached = *std::move(attached);
    } else {
      std::fprintf(stderr, "what is attached to the image is not known: %s\n",
                   Describe(attached.status()).c_str());
    }
  }
  const inspect::CheckReport report =
      inspect::Check(std::move(image), circumstances, arguments.image);
  if (arguments.json) {
    std::printf(
        "%s\n",
        ToJson(report, circumstances).dump(2, ' ', false, Json::error_handler_t::replace).c_str());
  } else {
    Print(report);
  }
  if (report.lazy_layers() < report.verdicts.size()) {
    exit_code = report.lazy_layers() == 0 ? kNoneIsLazy : kSomeAreNotLazy;
  }
  return OkStatus();
}

}  // namespace

void AddCheck(CLI::App& app, Run& chosen, int& exit_code) {
  const auto arguments = std::make_shared<Arguments>();
  CLI::App& command = *app.add_subcommand(
      "check", "Whether an image would be lazy on this machine, and what would make it better");
  command.add_option("IMAGE", arguments->image)->required();
  command.add_option("--platform", arguments->platform, "Of an index, such as linux/arm64");
  command.add_option(
      "--config", arguments->config,
      fmt::format("starlingd's configuration (default {}, if it exists)", config::kDefaultFile));
  command.add_option("--root", arguments->root,
                     "starlingd's, with the profiles and indexes that this machine keeps, if not "
                     "as its configuration says");
  command.add_flag("--json", arguments->json, "Print JSON");
  AddRegistryOptions(command, arguments->registries);
  command.footer(
      "Reads manifests and tables of contents alone.\n"
      "Exit codes: 0 every layer is lazy, 6 some are not, 7 none is; 1 failed, 3 not found, 4 not "
      "allowed,\n5 not now.\n"
      "Example: starling check ghcr.io/me/app:1");
  command.callback([arguments, &chosen, &exit_code] {
    chosen = [arguments, &exit_code] {
      const Status result = RunCheck(*arguments, exit_code);
      exit_code = result.ok() ? exit_code : ExitCodeOf(result);
      return result;
    };
  });
}

}  // namespace starling::cli
