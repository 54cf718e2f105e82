#include "inspect/status_json.h"

#include <fmt/chrono.h>
#include <fmt/format.h>

#include <algorithm>
#include <chrono>

namespace starling::inspect {
namespace {

using Json = nlohmann::ordered_json;
using layer::LayerUse;

Json ToJson(const layer::ReadTimes& times) {
  return {{"totalSeconds", Seconds(times.total())},
          {"networkSeconds", Seconds(times.network)},
          {"decodeSeconds", Seconds(times.decode)},
          {"diskSeconds", Seconds(times.disk)},
          {"queueSeconds", Seconds(times.queue)}};
}

Json ToJson(const layer::NamedRead& named) {
  const layer::SlowRead& read = named.read;
  Json json = {{"ended", FormatTimestamp(read.ended)},
               {"cause", NameOf(read.times.cause())},
               {"file", named.file},
               {"moreFiles", named.more_files},
               {"layer", read.layer.layer.ToString()},
               {"dataAddress", read.range.data_address},
               {"size", read.range.size_bytes},
               {"failed", read.failed},
               {"container", read.container}};
  json.update(ToJson(read.times));
  return json;
}

Json ReadsToJson(const std::vector<layer::NamedRead>& reads) {
  Json json = Json::array();
  for (const layer::NamedRead& named : reads) {
    json.push_back(ToJson(named));
  }
  return json;
}

Json WaitsToJson(const std::vector<layer::NamedWait>& waits) {
  Json json = Json::array();
  for (const layer::NamedWait& wait : waits) {
    json.push_back({{"seconds", Seconds(wait.read.waited)},
                    {"file", wait.file},
                    {"moreFiles", wait.more_files},
                    {"container", wait.read.container},
                    {"dataAddress", wait.read.range.data_address},
                    {"size", wait.read.range.size_bytes}});
  }
  return json;
}

/// What a layer and an image tell alike.
Json UseToJson(const LayerUse& use, uint64_t cost_bytes) {
  Json fetched = Json::object();
  Json came = Json::object();
  for (const layer::Purpose purpose : layer::kPurposes) {
    const std::string name(NameOf(purpose));
    const auto i = static_cast<size_t>(purpose);
    fetched[name] = {{"requests", use.fetched[i].requests}, {"size", use.fetched[i].bytes}};
    came[name] = {{"size", use.came[i].bytes}, {"neededSize", use.came[i].needed_bytes}};
  }
  Json json = {{"totalSize", use.total_bytes},
               {"heldSize", use.held_bytes},
               {"neededSize", use.needed_bytes},
               {"wastedSize", use.wasted_bytes},
               {"blobSize", use.blob_bytes},
               {"fetchedSize", use.fetched_bytes()},
               {"savedSize", use.blob_bytes - std::min(use.blob_bytes, cost_bytes)},
               {"fetched", std::move(fetched)},
               {"came", std::move(came)}};
  const auto rate = layer::AheadHitRate(use);
  json["prefetchHitRate"] = rate ? Json(*rate) : Json();
  json["waitingReads"] = use.waiting.reads;
  json["stalls"] = {{"reads", use.stalls.reads}, {"failed", use.stalls.failed}};
  json["stalls"].update(ToJson(use.stalls.times));
  return json;
}

Json ToJson(const layer::LayerStatus& status) {
  Json json = {{"digest", status.key.layer.ToString()},
               {"mode", status.decision ? Json(NameOf(status.decision->mode)) : Json()},
               {"reason", status.decision ? Json(status.decision->reason) : Json()},
               {"whole", status.is_whole},
               {"complete", status.is_complete},
               {"readWithoutStarling", status.is_unseen}};
  json.update(UseToJson(status.use, status.cost_bytes()));
  Json sizes = Json::array();
  Json held_sizes = Json::array();
  Json needed_sizes = Json::array();
  for (const LayerUse::Part& part : status.use.parts) {
    sizes.push_back(part.total_bytes);
    held_sizes.push_back(part.held_bytes);
    needed_sizes.push_back(part.needed_bytes);
  }
  json["parts"] = {{"size", std::move(sizes)},
                   {"heldSize", std::move(held_sizes)},
                   {"neededSize", std::move(needed_sizes)}};
  json["worstReads"] = ReadsToJson(status.worst_reads);
  Json places = Json::array();
  for (const layer::BlobSources::Health& health : status.places) {
    Json place = {{"name", health.name},
                  {"host", health.host},
                  {"preferred", health.is_preferred},
                  {"wrongBytes", health.brought_wrong_bytes}};
    place["secondsSinceFailure"] =
        health.since_failure ? Json(health.since_failure->count()) : Json();
    places.push_back(std::move(place));
  }
  json["places"] = std::move(places);
  return json;
}

Json ToJson(const layer::ImageStatus& image) {
  Json layers = Json::array();
  for (const layer::LayerStatus& status : image.layers) {
    layers.push_back(ToJson(status));
  }
  Json json = {{"name", image.name},
               {"layerCount", image.layers.size()},
               {"completeLayers", image.complete_layers()},
               {"credentials", image.credentials ? Json(*image.credentials) : Json()}};
  json.update(UseToJson(image.Sum(), image.cost_bytes()));
  json["worstReads"] = ReadsToJson(image.WorstReads());
  json["longestWaits"] = WaitsToJson(image.LongestWaits());
  json["layers"] = std::move(layers);
  return json;
}

Json ToJson(const layer::ImageStart& start) {
  const auto since = [&](std::chrono::system_clock::time_point time) {
    return Seconds(std::chrono::duration_cast<layer::ReadTimes::Duration>(time - start.begun));
  };
  Json needs = Json::array();
  for (const auto& [key, file] : start.needs) {
    needs.push_back({{"seconds", Seconds(file.first_need)},
                     {"file", file.path},
                     {"size", file.size_bytes},
                     {"neededSize", file.needed_bytes},
                     {"layer", key.layer.ToString()}});
  }
  Json fetches = Json::array();
  for (const layer::ImageStart::Fetch& named : start.fetches) {
    const layer::TracedFetch& fetch = named.fetch;
    fetches.push_back({{"sentSeconds", since(fetch.sent)},
                       {"endedSeconds", since(fetch.ended)},
                       {"purpose", NameOf(fetch.purpose)},
                       {"requests", fetch.requests},
                       {"size", fetch.bytes},
                       {"file", named.file},
                       {"moreFiles", named.more_files},
                       {"failed", fetch.failed},
                       {"layer", fetch.layer.layer.ToString()}});
  }
  Json reads = Json::array();
  for (const layer::NamedRead& named : start.reads) {
    Json read = ToJson(named);
    read["endedSeconds"] = since(named.read.ended);
    reads.push_back(std::move(read));
  }
  return {{"image", start.image},
          {"manifest", start.manifest.ToString()},
          {"begun", FormatTimestamp(start.begun)},
          {"goesOn", start.goes_on},
          {"cut", start.is_cut},
          {"neededFiles", start.totals.needed_files},
          {"neededSize", start.totals.needed_bytes},
          {"requests", start.totals.requests},
          {"fetchedSize", start.totals.fetched_bytes},
          {"slowReads", start.totals.slow_reads},
          {"needs", std::move(needs)},
          {"fetches", std::move(fetches)},
          {"reads", std::move(reads)}};
}

}  // namespace

std::string FormatTimestamp(std::chrono::system_clock::time_point time) {
  const auto milliseconds =
      std::chrono::floor<std::chrono::milliseconds>(time.time_since_epoch()).count();
  const std::time_t seconds = std::chrono::system_clock::to_time_t(time);
  return fmt::format("{:%Y-%m-%dT%H:%M:%S}.{:03}Z", fmt::gmtime(seconds), milliseconds % 1000);
}

double Seconds(layer::ReadTimes::Duration time) {
  return std::chrono::duration<double>(time).count();
}

Json ToJson(const std::vector<layer::ImageStatus>& images) {
  Json json = Json::array();
  for (const layer::ImageStatus& image : images) {
    json.push_back(ToJson(image));
  }
  return {{"images", std::move(json)}};
}

Json ToJson(const layer::TracedReads& traced) {
  return {{"forgotten", traced.forgotten},
          {"reads", ReadsToJson(traced.reads)},
          {"containers", ToJson(traced.containers)},
          {"fallbacks", ToJson(traced.fallbacks)}};
}

Json ToJson(const std::vector<layer::Fallback>& fallbacks) {
  Json json = Json::array();
  for (const layer::Fallback& fallback : fallbacks) {
    json.push_back({{"time", FormatTimestamp(fallback.time)},
                    {"image", fallback.image},
                    {"layer", fallback.layer.ToString()},
                    {"reason", Describe(fallback.reason)}});
  }
  return json;
}

Json ToJson(const std::vector<layer::ContainerStalls>& containers) {
  Json json = Json::array();
  for (const layer::ContainerStalls& stalls : containers) {
    Json one = {
        {"container", stalls.container}, {"reads", stalls.reads}, {"failed", stalls.failed}};
    one.update(ToJson(stalls.times));
    json.push_back(std::move(one));
  }
  return json;
}

Json ToJson(const std::vector<layer::ImageActivity>& activities) {
  Json images = Json::array();
  for (const layer::ImageActivity& image : activities) {
    images.push_back({{"name", image.name},
                      {"layerCount", image.layers},
                      {"totalSize", image.total_bytes},
                      {"heldSize", image.held_bytes},
                      {"neededSize", image.needed_bytes},
                      {"fetchedSize", image.fetched_bytes},
                      {"waitingReads", image.waiting_reads},
                      {"stalledReads", image.stalled_reads},
                      {"failedReads", image.failed_reads},
                      {"stallSeconds", Seconds(image.stall_time)},
                      {"longestWaits", WaitsToJson(image.longest_waits)},
                      {"slowReads", ReadsToJson(image.slow_reads)}});
  }
  return images;
}

Json ToJson(const std::vector<layer::ImageStart>& starts) {
  Json json = Json::array();
  for (const layer::ImageStart& start : starts) {
    json.push_back(ToJson(start));
  }
  return {{"starts", std::move(json)}};
}

}  // namespace starling::inspect
