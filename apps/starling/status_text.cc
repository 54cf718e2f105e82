#include "apps/starling/status_text.h"

#include <fmt/format.h>

#include "inspect/status_json.h"

namespace starling::cli {
namespace {

std::string FileText(const std::string& file, uint64_t more_files) {
  const std::string name = file.empty() ? "(no file)" : file;
  return more_files == 0 ? name : fmt::format("{} and {} more", name, more_files);
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

std::string TimeText(layer::ReadTimes::Duration time) {
  const double seconds = inspect::Seconds(time);
  return seconds < 1 ? fmt::format("{:.0f} ms", seconds * 1000) : fmt::format("{:.1f} s", seconds);
}

std::string FileText(const layer::NamedRead& named) {
  return FileText(named.file, named.more_files);
}

std::string FileText(const layer::NamedWait& named) {
  return FileText(named.file, named.more_files);
}

std::string FileText(const layer::ImageStart::Fetch& named) {
  return FileText(named.file, named.more_files);
}

}  // namespace starling::cli
