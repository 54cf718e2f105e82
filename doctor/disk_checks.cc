#include <algorithm>
#include <array>

#include "doctor/checks.h"

namespace starling::doctor {
namespace {

constexpr uint64_t kGiB = uint64_t{1} << 30;

setup::Wanted Cap(uint64_t bytes) {
  return {.keys = {{{"store"}, "max_size_bytes", static_cast<int64_t>(bytes)}}, .lists = {}};
}

/// Of a disk, what a store may take so that others have room, too.
uint64_t FairShare(const Volume& volume) { return volume.total_bytes / 10 * 8 / kGiB * kGiB; }

Step OtherRoot(const Host& host) {
  if (host.settings().root == config::Settings().root) {
    return Step::Advise("put another disk, with ext4, xfs or btrfs, at " + host.settings().root);
  }
  return host.Edit(host.places().starling_config,
                   {.keys = {{{}, "root", config::Settings().root}}, .lists = {}});
}

}  // namespace

Findings CheckVolume(const Host& host) {
  const std::string& root = host.settings().root;
  const StatusOr<Volume> volume = host.machine().VolumeAt(root);
  if (!volume.ok()) {
    return {};
  }
  if (volume->is_read_only) {
    return {{.check = "disk.read-only",
             .severity = Severity::kError,
             .what = fmt::format("{} is on a file system that cannot be written", root),
             .why = "starlingd keeps everything there",
             .cure = {Step::Run("mount -o remount,rw " +
                                (volume->mount_point.empty() ? root : volume->mount_point))}}};
  }
  const Status overlay = host.machine().OverlayAt(root);
  const bool is_unknown = overlay.code() == StatusCode::kPermissionDenied ||
                          overlay.code() == StatusCode::kResourceExhausted ||
                          overlay.code() == StatusCode::kUnimplemented;
  if (!overlay.ok() && !is_unknown) {
    return {{.check = "disk.overlay",
             .severity = Severity::kError,
             .what = fmt::format("the file system of {} ({}) cannot hold what containers write: {}",
                                 root, volume->type, MessageOf(overlay)),
             .why = "a container's files are an overlay with its upper directory there; another "
                    "overlay and most file systems of networks cannot be one",
             .cure = {OtherRoot(host), host.Restart("starling")}}};
  }
  if (volume->type == "tmpfs" || volume->type == "ramfs") {
    return {{.check = "disk.memory",
             .severity = Severity::kWarning,
             .what = fmt::format("{} is in memory ({})", root, volume->type),
             .why = "all that was fetched takes memory, and is lost at the next boot",
             .cure = {OtherRoot(host), host.Restart("starling")}}};
  }
  return {};
}

Findings CheckSpace(const Host& host) {
  const std::string& root = host.settings().root;
  const StatusOr<Volume> volume = host.machine().VolumeAt(root);
  if (!volume.ok() || volume->total_bytes == 0) {
    return {};
  }
  Findings findings;
  const uint64_t cap = host.settings().store.max_size_bytes;
  const auto capped = [&] {
    std::vector<Step> steps;
    if (cap == 0 || cap >= volume->total_bytes) {
      steps.push_back(host.Edit(host.places().starling_config, Cap(FairShare(*volume))));
      steps.push_back(host.Restart("starling"));
    }
    return steps;
  };
  if (volume->free_bytes < std::min(kGiB, volume->total_bytes / 20)) {
    std::vector<Step> steps = capped();
    steps.insert(steps.begin(),
                 Step::Run("starling cache evict --to " + std::to_string(FairShare(*volume) / 2)));
    findings.push_back(
        {.check = "disk.space",
         .severity = Severity::kWarning,
         .what = fmt::format("{} MiB are free at {}", volume->free_bytes >> 20, root),
         .why = "containers cannot write, and what was fetched is given up again to "
                "make room",
         .cure = std::move(steps)});
  } else if (cap > volume->total_bytes) {
    findings.push_back(
        {.check = "disk.cap",
         .severity = Severity::kWarning,
         .what = fmt::format("max_size_bytes = {} is more than the {} bytes of the disk", cap,
                             volume->total_bytes),
         .why = "the store fills the disk before it gives anything up",
         .cure = capped()});
  }
  if (volume->total_inodes > 0 && volume->free_inodes < volume->total_inodes / 100) {
    findings.push_back({.check = "disk.inodes",
                        .severity = Severity::kWarning,
                        .what = fmt::format("{} inodes are free at {}", volume->free_inodes, root),
                        .why = "containers cannot make files",
                        .cure = {Step::Advise("remove files, or make a file system with more")}});
  }
  return findings;
}

Findings CheckSharing(const Host& host) {
  const StatusOr<Volume> volume = host.machine().VolumeAt(host.settings().root);
  if (!volume.ok() || volume->is_read_only || !host.machine().IsRoot() ||
      host.machine().SharesBlocksAt(host.settings().root)) {
    return {};
  }
  return {{.check = "disk.sharing",
           .severity = Severity::kNote,
           .what = fmt::format("files of {} ({}) cannot share blocks", host.settings().root,
                               volume->type),
           .why = "what several images have in common is stored for each of them; it is fetched "
                  "once all the same",
           .cure = {Step::Advise("use xfs or btrfs there")}}};
}

}  // namespace starling::doctor
