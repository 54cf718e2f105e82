#include "snapshotter/overlay_mounts.h"

#include <algorithm>
#include <fstream>
#include <iterator>

namespace starling::snapshotter {
namespace {

// All IDs mapped onto themselves means the initial user namespace.
bool InUserNamespace(const std::filesystem::path& uid_map) {
  std::ifstream file(uid_map);
  uint64_t inside = 0;
  uint64_t outside = 0;
  uint64_t count = 0;
  if (!(file >> inside >> outside >> count)) {
    return false;
  }
  constexpr uint64_t kAllIds = 0xffffffff;
  return inside != 0 || outside != 0 || count != kAllIds;
}

Mount Bind(const std::filesystem::path& source, Kind kind) {
  return {
      .type = "bind", .source = source, .options = {kind == Kind::kActive ? "rw" : "ro", "rbind"}};
}

void Append(std::vector<std::string> options, Mount& mount) {
  std::ranges::move(options, std::back_inserter(mount.options));
}

}  // namespace

OverlayFeatures ProbeOverlay(const std::filesystem::path& root) {
  std::error_code ignored;
  return {
      .has_index = std::filesystem::exists(root / "sys/module/overlay/parameters/index", ignored),
      .needs_userxattr = InUserNamespace(root / "proc/self/uid_map")};
}

std::vector<Mount> MountsOf(const SnapshotDirectories& directories,
                            const OverlayFeatures& features) {
  if (directories.lower.empty()) {
    return {Bind(directories.upper, directories.kind)};
  }
  const std::vector<std::string> mapped =
      directories.id_mapping ? directories.id_mapping->MountOptions() : std::vector<std::string>();
  if (directories.kind == Kind::kView && directories.lower.size() == 1) {
    Mount bind = Bind(directories.lower.front(), Kind::kView);
    Append(mapped, bind);
    return {std::move(bind)};
  }
  Mount overlay{.type = "overlay", .source = "overlay", .options = mapped};
  if (directories.kind == Kind::kActive) {
    overlay.options.push_back("workdir=" + directories.work.string());
    overlay.options.push_back("upperdir=" + directories.upper.string());
  }
  std::string lower = "lowerdir=";
  for (const std::filesystem::path& directory : directories.lower) {
    if (lower.back() != '=') {
      lower.push_back(':');
    }
    lower += directory.string();
  }
  overlay.options.push_back(std::move(lower));
  if (features.has_index) {
    overlay.options.push_back("index=off");
  }
  if (features.needs_userxattr) {
    overlay.options.push_back("userxattr");
  }
  return {std::move(overlay)};
}

Status CheckOverlayPath(const std::filesystem::path& root) {
  if (!root.is_absolute() || root.string().find_first_of(":,\\") != std::string::npos) {
    return MakeError(StatusCode::kInvalidArgument,
                     fmt::format("root {}: must be absolute, without ':', ',' and '\\', because it "
                                 "becomes part of overlay mount options",
                                 root.string()));
  }
  return OkStatus();
}

}  // namespace starling::snapshotter
