#pragma once

#include <filesystem>
#include <optional>
#include <utility>
#include <vector>

#include "base/status.h"
#include "containerd/client.h"

namespace starling::dockerfile::build {

/// The directories that a snapshot consists of.
struct SnapshotDirectories {
  /// Where changes go; nothing for a view.
  std::optional<std::filesystem::path> upper;
  std::vector<std::filesystem::path> lower;  // top first
};

/// The options of an overlay's mount but for its directories.
std::vector<std::string> OverlayOptions(const containerd::Mount& mount);

/// Of the mounts of an overlay snapshotter: one overlay, or one bind mount where there is a single
/// directory. kUnimplemented for all others: they do not tell what a step has changed.
StatusOr<SnapshotDirectories> DirectoriesOf(const std::vector<containerd::Mount>& mounts);

/// A snapshot's files at a directory of ours, until this goes.
class SnapshotMount {
 public:
  /// Makes `at` (its parent exists) and mounts there. Any number of lower directories.
  static StatusOr<SnapshotMount> Make(const std::vector<containerd::Mount>& mounts,
                                      std::filesystem::path at);
  SnapshotMount(SnapshotMount&& other) noexcept : at_(std::exchange(other.at_, {})) {}
  SnapshotMount& operator=(SnapshotMount&&) = delete;
  ~SnapshotMount();

  const std::filesystem::path& path() const { return at_; }
  /// Unmounts. Errors: nobody may be in there any more.
  Status Unmount();

 private:
  explicit SnapshotMount(std::filesystem::path at) : at_(std::move(at)) {}
  std::filesystem::path at_;  // empty: unmounted
};

}  // namespace starling::dockerfile::build
