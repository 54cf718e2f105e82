#include "apps/starling/status_text.h"

#include <fmt/chrono.h>
#include <fmt/format.h>

namespace starling::cli {
namespace {

using Json = nlohmann::ordered_json;

std::string FileText(const std::string& file, uint64_t more_files) {
  const std::string name = file.empty() ? "(no file)" : file;
  return more_files == 0 ? name : fmt::format("{} and {} more", name, more_files);
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
               {"failed", read.failed}};
  json.update(cli::ToJson(read.times));
  return json;
}

}  // namespace

void AddStatusPlace(CLI::App& command, StatusPlace& place) {
  command.add_option("--address", place.address, "starlingd's socket")
      ->envname("STARLING_ADDRESS")
      ->capture_default_str();
  CLI::Option* mount =
      command.add_option("--mount", place.mount, "Of the image that `starling mount` shows there");
  CLI::Option* root =
      command.add_option("--root", place.root, "Of the `starling mount` with this --root");
  mount->excludes(root);
}

StatusOr<std::string> SocketOf(const StatusPlace& place) {
  if (!place.root.empty()) {
    return std::filesystem::path(place.root) / kMountSocketName;
  }
  if (!place.mount.empty()) {
    ASSIGN_OR_RETURN(const std::filesystem::path root, FindMountRoot(place.mount));
    return root / kMountSocketName;
  }
  return place.address;
}

std::string FormatTimestamp(std::chrono::system_clock::time_point time) {
  const auto milliseconds =
      std::chrono::floor<std::chrono::milliseconds>(time.time_since_epoch()).count();
  const std::time_t seconds = std::chrono::system_clock::to_time_t(time);
  return fmt::format("{:%Y-%m-%dT%H:%M:%S}.{:03}Z", fmt::gmtime(seconds), milliseconds % 1000);
}

double Seconds(layer::ReadTimes::Duration time) {
  return std::chrono::duration<double>(time).count();
}

std::string TimeText(layer::ReadTimes::Duration time) {
  const double seconds = Seconds(time);
  return seconds < 1 ? fmt::format("{:.0f} ms", seconds * 1000) : fmt::format("{:.1f} s", seconds);
}

std::string FileText(const layer::NamedRead& named) {
  return FileText(named.file, named.more_files);
}

std::string FileText(const layer::NamedWait& named) {
  return FileText(named.file, named.more_files);
}

Json ToJson(const layer::ReadTimes& times) {
  return {{"totalSeconds", Seconds(times.total())},
          {"networkSeconds", Seconds(times.network)},
          {"decodeSeconds", Seconds(times.decode)},
          {"diskSeconds", Seconds(times.disk)},
          {"queueSeconds", Seconds(times.queue)}};
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
                    {"dataAddress", wait.read.range.data_address},
                    {"size", wait.read.range.size_bytes}});
  }
  return json;
}

}  // namespace starling::cli
