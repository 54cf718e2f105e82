/// The mounts that show a snapshot: what containerd's own overlay snapshotter would answer.
#pragma once

#include <filesystem>
#include <optional>
#include <string>
#include <vector>

#include "base/status.h"
#include "snapshotter/id_mapping.h"
#include "snapshotter/snapshot.h"

namespace starling::snapshotter {

/// One mount(2) call that the client makes.
struct Mount {
  std::string type;
  std::string source;
  std::vector<std::string> options;

  friend bool operator==(const Mount&, const Mount&) = default;
};

/// Options that every overlay mount gets, from what this kernel can do.
struct OverlayFeatures {
  /// The kernel knows index=; off, because an index in the upper directory outlives its lower ones.
  bool has_index = false;
  /// Inside a user namespace overlayfs may only use user.* attributes.
  bool needs_userxattr = false;
};

/// Looks at /sys and /proc below `root` ("/" but in tests).
OverlayFeatures ProbeOverlay(const std::filesystem::path& root);

/// Where a snapshot's directories are.
struct SnapshotDirectories {
  Kind kind = Kind::kActive;                 // never kCommitted
  std::filesystem::path upper;               // of an active snapshot, or of a view without parents
  std::filesystem::path work;                // of an active snapshot
  std::vector<std::filesystem::path> lower;  // the parents' roots, top first
  std::optional<IdMapping> id_mapping;       // of what `lower` shows
};

/// Exactly one mount, of type bind or overlay: clients rely on the shape.
std::vector<Mount> MountsOf(const SnapshotDirectories& directories,
                            const OverlayFeatures& features);

/// kInvalidArgument when overlayfs could not take `root` as part of an option (':', ',' or '\').
Status CheckOverlayPath(const std::filesystem::path& root);

}  // namespace starling::snapshotter
