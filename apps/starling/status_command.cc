#include <fmt/format.h>

#include <algorithm>
#include <cstdio>
#include <map>
#include <memory>
#include <nlohmann/json.hpp>
#include <set>

#include "apps/starling/commands.h"
#include "apps/starling/status_text.h"
#include "base/size_text.h"
#include "base/text.h"
#include "containerd/image_layers.h"
#include "control/remote_status.h"
#include "inspect/status_json.h"
#include "layer/status.h"
#include "oci/reference.h"

namespace starling::cli {
namespace {

using Json = nlohmann::ordered_json;
using layer::LayerUse;

struct Arguments {
  StatusPlace place;
  std::string containerd = "/run/containerd/containerd.sock";
  std::string name;
  std::string cause;
  std::string container;
  std::string start;
  bool json = false;
};

void PrintJson(const Json& json) {
  std::printf("%s\n", json.dump(2, ' ', false, Json::error_handler_t::replace).c_str());
}

std::string StallText(const LayerUse::Stalls& stalls) {
  if (stalls.reads == 0) {
    return "no read waited";
  }
  const layer::ReadTimes& times = stalls.times;
  return fmt::format("{} reads waited {} (network {}, decode {}, disk {}, queue {}), {} failed",
                     stalls.reads, TimeText(times.total()), TimeText(times.network),
                     TimeText(times.decode), TimeText(times.disk), TimeText(times.queue),
                     stalls.failed);
}

std::string HealthText(const layer::BlobSources::Health& health) {
  std::string text = health.is_preferred ? "asked first" : "asked next";
  if (health.brought_wrong_bytes) {
    text += ", brought wrong bytes";
  }
  if (health.since_failure) {
    text += fmt::format(", failed {} s ago", health.since_failure->count());
  }
  return text;
}

void PrintSummary(const layer::ImageStatus& image) {
  const LayerUse sum = image.Sum();
  const uint64_t cost_bytes = image.cost_bytes();
  std::printf("%s\n",
              image.name.empty() ? "(layers whose image is not known)" : Shown(image.name).c_str());
  std::printf("  layers    %zu, %llu complete\n", image.layers.size(),
              static_cast<unsigned long long>(image.complete_layers()));
  std::printf("  content   %s held of %s, %s needed, %s came and was not read\n",
              SizeText(sum.held_bytes).c_str(), SizeText(sum.total_bytes).c_str(),
              SizeText(sum.needed_bytes).c_str(), SizeText(sum.wasted_bytes).c_str());
  std::printf("  network   %s came of %s, %s saved\n", SizeText(cost_bytes).c_str(),
              SizeText(sum.blob_bytes).c_str(),
              SizeText(sum.blob_bytes - std::min(sum.blob_bytes, cost_bytes)).c_str());
  if (const auto rate = layer::AheadHitRate(sum)) {
    std::printf("  prefetch  %.0f %% of what came ahead was read\n", *rate * 100);
  }
  std::printf("  stalls    %s\n", StallText(sum.stalls).c_str());
  if (image.credentials) {
    std::printf("  login     %s\n", Shown(*image.credentials).c_str());
  }
}

void PrintReads(const std::vector<layer::NamedRead>& reads) {
  for (const layer::NamedRead& named : reads) {
    std::printf("    %8s  %-7s  %s%s\n", TimeText(named.read.times.total()).c_str(),
                std::string(NameOf(named.read.times.cause())).c_str(),
                Shown(FileText(named)).c_str(), named.read.failed ? " (failed)" : "");
  }
}

void PrintDetails(const layer::ImageStatus& image) {
  PrintReads(image.WorstReads());
  for (const layer::NamedWait& wait : image.LongestWaits()) {
    std::printf("    %8s  waits    %s\n", TimeText(wait.read.waited).c_str(),
                Shown(FileText(wait)).c_str());
  }
  for (const layer::LayerStatus& status : image.layers) {
    std::printf("  %s\n    %s of %s%s, %s needed\n", status.key.layer.ToString().c_str(),
                SizeText(status.use.held_bytes).c_str(), SizeText(status.use.total_bytes).c_str(),
                status.is_complete ? " (complete)" : "", SizeText(status.use.needed_bytes).c_str());
    if (status.decision) {
      std::printf("    %s: %s\n", std::string(NameOf(status.decision->mode)).c_str(),
                  Shown(status.decision->reason).c_str());
    }
    if (status.is_unseen) {
      std::printf("    the kernel reads it without starling, so later reads are not counted\n");
    }
    for (const layer::BlobSources::Health& health : status.places) {
      std::printf("    from %s: %s\n", Shown(health.name).c_str(), HealthText(health).c_str());
    }
  }
}

/// Adds the images that containerd pulled when all of their layers were here: of those starlingd
/// was told nothing.
void AddImagesOfContainerd(const std::string& address, std::vector<layer::LayerStatus>& layers) {
  const auto images = containerd::FindImagesByLayer(address);
  if (!images.ok()) {
    std::fprintf(stderr,
                 "images whose layers were all here when they were pulled are missing: %s\n",
                 Describe(images.status()).c_str());
    return;
  }
  for (layer::LayerStatus& status : layers) {
    if (const auto found = images->find(status.key.layer); found != images->end()) {
      std::set<std::string> names(status.images.begin(), status.images.end());
      names.insert(found->second.begin(), found->second.end());
      status.images.assign(names.begin(), names.end());
    }
  }
}

bool IsNamed(const std::string& image, const std::string& name) {
  if (image == name) {
    return true;
  }
  const auto wanted = oci::Reference::Parse(name);
  const auto known = oci::Reference::Parse(image);
  return wanted.ok() && known.ok() && wanted->ToString() == known->ToString();
}

/// As engines' own commands do: by the whole name, or by the beginning of a long one.
bool IsContainer(const std::string& container, const std::string& name) {
  constexpr size_t kLeastLetters = 12;
  return container == name || (name.size() >= kLeastLetters && container.starts_with(name));
}

Status ShowStatus(const Arguments& arguments) {
  ASSIGN_OR_RETURN(const std::string socket, SocketOf(arguments.place));
  const std::unique_ptr<layer::StatusSource> source = control::ConnectToStatus(socket);
  ASSIGN_OR_RETURN(std::vector<layer::LayerStatus> layers, source->Layers());
  if (!arguments.place.is_of_mount()) {
    AddImagesOfContainerd(arguments.containerd, layers);
  }
  std::vector<layer::ImageStatus> images = layer::ByImage(layers);
  ASSIGN_OR_RETURN(layer::TracedReads traced, source->SlowReads());
  std::vector<layer::ContainerStalls>& containers = traced.containers;
  std::vector<layer::Fallback>& fallbacks = traced.fallbacks;
  if (!arguments.name.empty()) {
    std::erase_if(fallbacks, [&](const layer::Fallback& fallback) {
      return !IsNamed(fallback.image, arguments.name);
    });
    std::erase_if(images, [&](const layer::ImageStatus& image) {
      return !IsNamed(image.name, arguments.name);
    });
    std::erase_if(containers, [&](const layer::ContainerStalls& stalls) {
      return !images.empty() || !IsContainer(stalls.container, arguments.name);
    });
    if (images.empty() && containers.empty() && fallbacks.empty()) {
      return MakeError(StatusCode::kNotFound,
                       fmt::format("no layer of {} is shown, and no read of a container of that "
                                   "name has waited; without a name, `starling status` tells of "
                                   "all",
                                   arguments.name));
    }
  }
  if (arguments.json) {
    Json json = inspect::ToJson(images);
    json["containers"] = inspect::ToJson(containers);
    json["fallbacks"] = inspect::ToJson(fallbacks);
    PrintJson(json);
    return OkStatus();
  }
  for (const layer::ImageStatus& image : images) {
    PrintSummary(image);
    if (!arguments.name.empty()) {
      PrintDetails(image);
    }
  }
  if (images.empty() && arguments.name.empty()) {
    std::printf("no layers are shown\n");
  }
  for (const layer::ContainerStalls& stalls : containers) {
    std::printf(
        "container %s\n  stalls    %s\n", Shown(stalls.container).c_str(),
        StallText({.reads = stalls.reads, .failed = stalls.failed, .times = stalls.times}).c_str());
  }
  for (const layer::Fallback& fallback : fallbacks) {
    std::printf("%s  left to the client: %s of %s: %s\n",
                inspect::FormatTimestamp(fallback.time).c_str(), fallback.layer.ToString().c_str(),
                Shown(fallback.image).c_str(), Shown(Describe(fallback.reason)).c_str());
  }
  return OkStatus();
}

/// A line for each need, wait and request of the start, in the order of time.
void PrintStart(const layer::ImageStart& start) {
  using Duration = layer::ReadTimes::Duration;
  const layer::ImageStart::Totals& totals = start.totals;
  std::printf(
      "%s: first read at %s; %llu files needed, %s; %llu requests brought %s; %llu slow "
      "reads%s%s\n",
      Shown(start.image).c_str(), inspect::FormatTimestamp(start.begun).c_str(),
      static_cast<unsigned long long>(totals.needed_files), SizeText(totals.needed_bytes).c_str(),
      static_cast<unsigned long long>(totals.requests), SizeText(totals.fetched_bytes).c_str(),
      static_cast<unsigned long long>(totals.slow_reads), start.goes_on ? "; it goes on" : "",
      start.is_cut ? "; some of it is forgotten" : "");
  std::multimap<Duration, std::string> lines;
  const auto add = [&](Duration at, std::string_view kind, const std::string& took,
                       uint64_t size_bytes, const std::string& what) {
    lines.emplace(at, fmt::format("{:>9}  {:<10} {:>8} {:>10}  {}", TimeText(at), kind, took,
                                  SizeText(size_bytes), what));
  };
  for (const auto& [key, file] : start.needs) {
    add(file.first_need, "needs", "", file.needed_bytes, Shown(file.path));
  }
  for (const layer::ImageStart::Fetch& named : start.fetches) {
    const layer::TracedFetch& fetch = named.fetch;
    add(std::chrono::duration_cast<Duration>(fetch.sent - start.begun), NameOf(fetch.purpose),
        TimeText(fetch.ended - fetch.sent), fetch.bytes,
        Shown(FileText(named)) + (fetch.failed ? " (failed)" : ""));
  }
  for (const layer::NamedRead& named : start.reads) {
    const Duration took = named.read.times.total();
    add(std::chrono::duration_cast<Duration>(named.read.ended - start.begun) - took, "waits",
        TimeText(took), named.read.range.size_bytes,
        fmt::format("{} ({}){}", Shown(FileText(named)), NameOf(named.read.times.cause()),
                    named.read.failed ? " (failed)" : ""));
  }
  for (const auto& [at, line] : lines) {
    std::printf("%s\n", line.c_str());
  }
}

Status ShowStarts(const Arguments& arguments, layer::StatusSource& source) {
  ASSIGN_OR_RETURN(std::vector<layer::ImageStart> starts, source.Starts());
  std::erase_if(starts, [&](const layer::ImageStart& start) {
    return !IsNamed(start.image, arguments.start);
  });
  if (starts.empty()) {
    return MakeError(
        StatusCode::kNotFound,
        fmt::format("no start of {} was recorded since the process began; with [fetch] "
                    "record_profiles the first one after a pull is",
                    arguments.start));
  }
  if (arguments.json) {
    PrintJson(inspect::ToJson(starts));
    return OkStatus();
  }
  for (const layer::ImageStart& start : starts) {
    PrintStart(start);
  }
  return OkStatus();
}

Status ShowTrace(const Arguments& arguments) {
  ASSIGN_OR_RETURN(const std::string socket, SocketOf(arguments.place));
  if (!arguments.start.empty()) {
    return ShowStarts(arguments, *control::ConnectToStatus(socket));
  }
  ASSIGN_OR_RETURN(layer::TracedReads traced, control::ConnectToStatus(socket)->SlowReads());
  if (!arguments.container.empty()) {
    std::erase_if(traced.reads, [&](const layer::NamedRead& named) {
      return !IsContainer(named.read.container, arguments.container);
    });
  }
  if (!arguments.cause.empty()) {
    std::erase_if(traced.reads, [&](const layer::NamedRead& named) {
      return NameOf(named.read.times.cause()) != arguments.cause;
    });
  }
  if (arguments.json) {
    PrintJson(inspect::ToJson(traced));
    return OkStatus();
  }
  if (traced.forgotten > 0) {
    std::printf("(%llu earlier ones are forgotten)\n",
                static_cast<unsigned long long>(traced.forgotten));
  }
  for (const layer::NamedRead& named : traced.reads) {
    const layer::SlowRead& read = named.read;
    const std::string in =
        read.container.empty() ? "" : fmt::format("  in {}", Shown(read.container));
    std::printf("%s  %8s  %-7s  %s%s  (%s, %s)%s\n", inspect::FormatTimestamp(read.ended).c_str(),
                TimeText(read.times.total()).c_str(),
                std::string(NameOf(read.times.cause())).c_str(), Shown(FileText(named)).c_str(),
                read.failed ? " (failed)" : "", SizeText(read.range.size_bytes).c_str(),
                read.layer.layer.ToString().substr(0, 19).c_str(), in.c_str());
  }
  return OkStatus();
}

}  // namespace

void AddStatus(CLI::App& app, Run& chosen) {
  const auto arguments = std::make_shared<Arguments>();
  CLI::App& command = *app.add_subcommand(
      "status", "How images fare: what is held, needed and saved, and what reads waited for");
  command.add_option("IMAGE|CONTAINER", arguments->name,
                     "Of this image, with its layers and its worst reads, or of this container");
  AddStatusPlace(command, arguments->place);
  command.add_flag("--json", arguments->json, "Print JSON");
  command
      .add_option("--containerd", arguments->containerd,
                  "containerd's socket, asked for the images that use the layers of starlingd")
      ->envname("CONTAINERD_ADDRESS")
      ->capture_default_str();
  command.footer("Example: starling status ghcr.io/me/app:1-esgz");
  command.callback(
      [arguments, &chosen] { chosen = [arguments] { return ShowStatus(*arguments); }; });
}

void AddTrace(CLI::App& app, Run& chosen) {
  const auto arguments = std::make_shared<Arguments>();
  CLI::App& command =
      *app.add_subcommand("trace", "The latest reads that waited long, and what for");
  CLI::Option* cause =
      command.add_option("--cause", arguments->cause, "Those alone that waited for this most")
          ->check(CLI::IsMember({"network", "decode", "disk", "queue"}));
  CLI::Option* container =
      command.add_option("--container", arguments->container,
                         "Those alone of this container, by its name or its first 12 letters");
  command
      .add_option("--start", arguments->start,
                  "The start of this image's first container: what it needed when, with the reads "
                  "that waited and the requests")
      ->excludes(cause)
      ->excludes(container);
  AddStatusPlace(command, arguments->place);
  command.add_flag("--json", arguments->json, "Print JSON");
  command.footer("Example: starling trace --cause network");
  command.callback(
      [arguments, &chosen] { chosen = [arguments] { return ShowTrace(*arguments); }; });
}

}  // namespace starling::cli
