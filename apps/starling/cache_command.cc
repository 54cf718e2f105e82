#include <fmt/format.h>

#include <cstdio>
#include <functional>
#include <map>
#include <memory>
#include <nlohmann/json.hpp>
#include <set>

#include "apps/starling/commands.h"
#include "apps/starling/daemon_secret.h"
#include "apps/starling/progress_display.h"
#include "base/file_system.h"
#include "base/size_text.h"
#include "containerd/image_layers.h"
#include "control/remote_cache.h"
#include "layer/layer_cache.h"

namespace starling::cli {
namespace {

constexpr int kSomethingWrong = 3;
constexpr int kSomethingLeft = 4;

struct Arguments {
  std::string address = kDaemonSocket;
  std::string containerd = "/run/containerd/containerd.sock";
  std::string containerd_namespace;
  std::string root;
  std::string mount;
  std::string name;
  std::optional<uint64_t> until_bytes;
  bool json = false;
  int* exit_code = nullptr;
};

/// The cache of whoever has the store below `root` open; of this process when nobody has.
StatusOr<std::unique_ptr<layer::Cache>> OpenBelow(const std::filesystem::path& root) {
  const std::filesystem::path socket = root / kMountSocketName;
  std::error_code error;
  if (std::filesystem::exists(socket, error)) {
    auto served = control::ConnectToCache(socket);
    // What a killed process left is answered by nobody.
    if (served->List().status().code() != StatusCode::kUnavailable) {
      return served;
    }
  }
  auto stored = layer::OpenStoredCache(root / "store", RealFileSystem());
  if (stored.status().code() == StatusCode::kFailedPrecondition) {
    return Annotate(stored.status(), "if starlingd serves it, name its socket with --address");
  }
  return stored;
}

StatusOr<std::unique_ptr<layer::Cache>> Open(const Arguments& arguments) {
  if (!arguments.root.empty()) {
    return OpenBelow(arguments.root);
  }
  if (!arguments.mount.empty()) {
    ASSIGN_OR_RETURN(const std::filesystem::path root, FindMountRoot(arguments.mount));
    return OpenBelow(root);
  }
  return control::ConnectToCache(arguments.address);
}

nlohmann::ordered_json ToJson(const layer::CachedLayer& layer) {
  nlohmann::ordered_json json = {{"digest", layer.key.layer.ToString()},
                                 {"tocDigest", layer.key.toc.ToString()},
                                 {"heldSize", layer.held_bytes},
                                 {"totalSize", layer.total_bytes},
                                 {"diskSize", layer.disk_bytes},
                                 {"complete", layer.is_complete},
                                 {"mounted", layer.is_shown},
                                 {"pins", layer.pins},
                                 {"images", layer.images}};
  if (layer.since_last_read) {
    json["secondsSinceLastRead"] = layer.since_last_read->count();
  }
  return json;
}

void PrintJson(const nlohmann::ordered_json& json) {
  std::printf("%s\n", json.dump(2, ' ', false, nlohmann::json::error_handler_t::replace).c_str());
}

std::string AgeText(std::chrono::seconds age) {
  if (age < std::chrono::minutes(2)) {
    return fmt::format("{} s ago", age.count());
  }
  return age < std::chrono::hours(2) ? fmt::format("{} min ago", age.count() / 60)
                                     : fmt::format("{} h ago", age.count() / 3600);
}

/// Adds the images that containerd pulled when all of their layers were here: of those starlingd
/// was told nothing.
void AddImagesOfContainerd(const std::string& address, layer::CacheState& state) {
  const auto images = containerd::FindImagesByLayer(address);
  if (!images.ok()) {
    std::fprintf(stderr,
                 "images whose layers were all here when they were pulled are missing: %s\n",
                 Describe(images.status()).c_str());
    return;
  }
  for (layer::CachedLayer& layer : state.layers) {
    if (const auto found = images->find(layer.key.layer); found != images->end()) {
      std::set<std::string> names(layer.images.begin(), layer.images.end());
      names.insert(found->second.begin(), found->second.end());
      layer.images.assign(names.begin(), names.end());
    }
  }
}

Status List(layer::Cache& cache, const Arguments& arguments) {
  ASSIGN_OR_RETURN(layer::CacheState state, cache.List());
  if (arguments.root.empty() && arguments.mount.empty()) {
    AddImagesOfContainerd(arguments.containerd, state);
  }
  if (arguments.json) {
    nlohmann::ordered_json layers = nlohmann::ordered_json::array();
    for (const layer::CachedLayer& layer : state.layers) {
      layers.push_back(ToJson(layer));
    }
    PrintJson({{"diskSize", state.disk_bytes},
               {"maxSize", state.max_bytes},
               {"pins", state.pins},
               {"layers", std::move(layers)}});
    return OkStatus();
  }
  for (const layer::CachedLayer& layer : state.layers) {
    std::printf("%s\n  %s of %s%s, %s on the disk\n  %s, %s\n", layer.key.layer.ToString().c_str(),
                SizeText(layer.held_bytes).c_str(), SizeText(layer.total_bytes).c_str(),
                layer.is_complete ? " (complete)" : "", SizeText(layer.disk_bytes).c_str(),
                layer.is_shown ? "mounted" : "not mounted",
                layer.since_last_read ? ("read " + AgeText(*layer.since_last_read)).c_str()
                                      : "not read since the start");
    for (const std::string& image : layer.images) {
      std::printf("  image  %s\n", image.c_str());
    }
    for (const std::string& pin : layer.pins) {
      std::printf("  stays  %s\n", pin.c_str());
    }
  }
  std::printf("%zu layers, %s on the disk%s\n", state.layers.size(),
              SizeText(state.disk_bytes).c_str(),
              state.max_bytes == 0 ? "" : (" of " + SizeText(state.max_bytes)).c_str());
  return OkStatus();
}

/// Does `change` with what the command names or, where containerd alone knows an image by that
/// name, with each of its layers. How many layers that concerned.
StatusOr<uint64_t> ChangeWherever(
    const Arguments& arguments,
    const std::function<StatusOr<uint64_t>(const std::string&)>& change) {
  StatusOr<uint64_t> direct = change(arguments.name);
  const Status& unknown = direct.status();
  const bool is_layer = oci::Digest::Parse(arguments.name).ok();
  if (unknown.code() != StatusCode::kNotFound || is_layer || !arguments.root.empty() ||
      !arguments.mount.empty()) {
    return direct;
  }
  const auto layers = containerd::FindLayersOfImage(arguments.containerd,
                                                    arguments.containerd_namespace, arguments.name);
  if (!layers.ok()) {
    return MakeError(unknown.code(),
                     fmt::format("{}; {}", MessageOf(unknown), MessageOf(layers.status())));
  }
  uint64_t changed = 0;
  for (const oci::Digest& layer : *layers) {
    const auto count = change(layer.ToString());
    if (!count.ok() && count.status().code() != StatusCode::kNotFound) {
      return count;
    }
    changed += count.value_or(0);
  }
  if (changed == 0) {
    return MakeError(unknown.code(),
                     fmt::format("{}; nor of one of its {} layers, of which containerd knows",
                                 MessageOf(unknown), layers->size()));
  }
  return changed;
}

Status Pin(layer::Cache& cache, const Arguments& arguments) {
  ASSIGN_OR_RETURN(const uint64_t layers,
                   ChangeWherever(arguments, [&](const auto& name) { return cache.Pin(name); }));
  std::printf("%llu layers are pinned\n", static_cast<unsigned long long>(layers));
  return OkStatus();
}

Status Unpin(layer::Cache& cache, const Arguments& arguments) {
  ASSIGN_OR_RETURN(const uint64_t layers,
                   ChangeWherever(arguments, [&](const auto& name) { return cache.Unpin(name); }));
  std::printf("%llu layers have lost a pin\n", static_cast<unsigned long long>(layers));
  return OkStatus();
}

void Print(const layer::Evicted& evicted, const Arguments& arguments) {
  if (arguments.json) {
    PrintJson({{"removedLayers", evicted.layers},
               {"evictedSize", evicted.content_bytes},
               {"diskSize", evicted.disk_bytes}});
    return;
  }
  std::printf("%s of content evicted%s, the store takes %s\n",
              SizeText(evicted.content_bytes).c_str(),
              evicted.layers == 0 ? "" : fmt::format(", {} layers removed", evicted.layers).c_str(),
              SizeText(evicted.disk_bytes).c_str());
}

Status Evict(layer::Cache& cache, const Arguments& arguments) {
  if (arguments.until_bytes) {
    ASSIGN_OR_RETURN(const layer::Evicted evicted, cache.EvictTo(*arguments.until_bytes));
    Print(evicted, arguments);
    *arguments.exit_code = evicted.disk_bytes > *arguments.until_bytes ? kSomethingLeft : 0;
    return OkStatus();
  }
  const auto digest = oci::Digest::Parse(arguments.name);
  if (!digest.ok()) {
    return Annotate(digest.status(), "name a LAYER by its digest, or a size with --to");
  }
  ASSIGN_OR_RETURN(const layer::Evicted evicted, cache.Evict(*digest));
  Print(evicted, arguments);
  return OkStatus();
}

Status Clear(layer::Cache& cache, const Arguments& arguments) {
  ASSIGN_OR_RETURN(const layer::Evicted evicted, cache.Clear());
  Print(evicted, arguments);
  return OkStatus();
}

std::string OutcomeOf(const layer::Verification& done) {
  if (done.wrong_chunks == 0) {
    return "right";
  }
  return fmt::format("{} chunks wrong, {} fetched again{}{}", done.wrong_chunks, done.mended_chunks,
                     done.problem.empty() ? "" : ": ", done.problem);
}

Status Verify(layer::Cache& cache, const Arguments& arguments) {
  std::optional<oci::Digest> layer;
  if (!arguments.name.empty()) {
    ASSIGN_OR_RETURN(layer, oci::Digest::Parse(arguments.name));
  }
  const std::unique_ptr<Progress> progress =
      MakeProgress(stderr, arguments.json ? Quiet::kYes : Quiet::kNo);
  std::map<store::LayerKey, uint64_t> checked_bytes;
  nlohmann::ordered_json layers = nlohmann::ordered_json::array();
  uint64_t wrong = 0;
  uint64_t mended = 0;
  RETURN_IF_ERROR(cache.Verify(layer, [&](const layer::Verification& so_far) {
    const std::string part = so_far.key.layer.ToString();
    const auto [at, is_new] = checked_bytes.emplace(so_far.key, 0);
    if (is_new) {
      progress->Begin(part, so_far.held_bytes);
    }
    progress->Advance(part, so_far.checked_bytes - at->second);
    at->second = so_far.checked_bytes;
    if (so_far.is_done) {
      progress->End(part, OutcomeOf(so_far));
      wrong += so_far.wrong_chunks;
      mended += so_far.mended_chunks;
      layers.push_back({{"digest", part},
                        {"checkedSize", so_far.checked_bytes},
                        {"wrongChunks", so_far.wrong_chunks},
                        {"mendedChunks", so_far.mended_chunks},
                        {"problem", so_far.problem}});
    }
    return true;
  }));
  if (arguments.json) {
    PrintJson({{"wrongChunks", wrong}, {"mendedChunks", mended}, {"layers", std::move(layers)}});
  } else {
    std::printf("%zu layers verified, %llu chunks were wrong, %llu of them fetched again\n",
                checked_bytes.size(), static_cast<unsigned long long>(wrong),
                static_cast<unsigned long long>(mended));
  }
  *arguments.exit_code = wrong == 0 ? 0 : mended == wrong ? kSomethingWrong : kSomethingLeft;
  return OkStatus();
}

}  // namespace

void AddCache(CLI::App& app, Run& chosen, int& exit_code) {
  CLI::App& cache =
      *app.add_subcommand("cache", "What this machine holds of images, and what becomes of it");
  cache.require_subcommand(1);
  const auto add = [&](const char* name, const char* description,
                       Status (*run)(layer::Cache&, const Arguments&),
                       const char* footer) -> std::pair<CLI::App&, Arguments&> {
    const auto arguments = std::make_shared<Arguments>();
    arguments->exit_code = &exit_code;
    CLI::App& command = *cache.add_subcommand(name, description);
    CLI::Option* address =
        command.add_option("--address", arguments->address, "starlingd's socket")
            ->envname("STARLING_ADDRESS")
            ->capture_default_str();
    CLI::Option* mount = command.add_option(
        "--mount", arguments->mount, "The cache of the image that `starling mount` shows there");
    CLI::Option* root = command.add_option(
        "--root", arguments->root,
        "The cache below this directory, whether a `starling mount` serves it or nobody does");
    mount->excludes(root);
    (void)address;
    command.footer(footer);
    command.callback([arguments, run, &chosen] {
      chosen = [arguments, run]() -> Status {
        ASSIGN_OR_RETURN(const std::unique_ptr<layer::Cache> opened, Open(*arguments));
        return run(*opened, *arguments);
      };
    });
    return {command, *arguments};
  };
  const auto add_containerd = [](CLI::App& command, Arguments& arguments, const char* what_for) {
    command.add_option("--containerd", arguments.containerd, what_for)
        ->envname("CONTAINERD_ADDRESS")
        ->capture_default_str();
  };
  const auto add_image = [&](CLI::App& command, Arguments& arguments, const char* spelled) {
    command.add_option("IMAGE|LAYER", arguments.name, spelled)->required();
    add_containerd(command, arguments,
                   "containerd's socket, asked for the layers of an image that starlingd does not "
                   "know by its name");
    command
        .add_option("-n,--namespace", arguments.containerd_namespace,
                    "Where containerd has that image; all namespaces without")
        ->envname("CONTAINERD_NAMESPACE");
  };
  {
    auto [command, arguments] =
        add("ls", "Show the layers: how much is held, why they stay, who uses them", List,
            "Example: starling cache ls --json");
    add_containerd(command, arguments,
                   "containerd's socket, asked for the images that use the layers of starlingd");
    command.add_flag("--json", arguments.json, "Print JSON");
  }
  {
    auto [command, arguments] = add(
        "pin", "Keep what is held of an image or a layer, until it is unpinned", Pin,
        "What is pinned is not evicted, after a restart either; removing its image removes it.\n"
        "Example: starling cache pin ghcr.io/me/app:1-esgz");
    add_image(command, arguments, "As `starling cache ls`, or containerd, shows it");
  }
  {
    auto [command, arguments] =
        add("unpin", "End that", Unpin, "Example: starling cache unpin ghcr.io/me/app:1-esgz");
    add_image(command, arguments, "As it was pinned");
  }
  {
    auto [command, arguments] =
        add("evict", "Give up what is held of a layer, or the least needed of all layers", Evict,
            "What a container reads of it later is fetched again.\n"
            "Exit codes: 0 done, 1 failed, 4 the rest is in use or pinned, so the size is not "
            "reached.\n"
            "Example: starling cache evict --to 2GiB");
    CLI::Option* layer = command.add_option("LAYER", arguments.name, "Its digest");
    CLI::Option* until =
        command.add_option("--to", arguments.until_bytes, "What the store may take afterwards")
            ->transform(CLI::AsSizeValue(/*kb_is_1000=*/false));
    layer->excludes(until);
    command.add_flag("--json", arguments.json, "Print JSON");
  }
  {
    auto [command, arguments] = add(
        "verify", "Read and hash all that is held; what is wrong is dropped and fetched again",
        Verify,
        "Exit codes: 0 all is right, 1 failed, 3 what was wrong was fetched again, 4 not all of "
        "it was.\n"
        "Example: starling cache verify");
    command.add_option("LAYER", arguments.name, "Its digest; all without");
    command.add_flag("--json", arguments.json, "Print JSON");
  }
  {
    auto [command, arguments] =
        add("clear", "Remove what nothing uses, and evict what is neither pinned nor in use", Clear,
            "Containers go on: what they read later is fetched again.\n"
            "Example: starling cache clear");
    command.add_flag("--json", arguments.json, "Print JSON");
  }
}

}  // namespace starling::cli
