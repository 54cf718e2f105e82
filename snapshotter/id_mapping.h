/// Containers in user namespaces of their own: their layers are seen through mounts whose IDs are
/// mapped (mount_setattr(2)), which the client makes and the snapshot's mount options ask for.
/// Source: containerd core/snapshots (labels), core/mount (options uidmap and gidmap).
#pragma once

#include <filesystem>
#include <optional>
#include <string>
#include <vector>

#include "base/status.h"
#include "base/user_namespace.h"
#include "snapshotter/snapshot.h"

namespace starling::snapshotter {

/// Who owns a file.
struct Owner {
  uint32_t uid = 0;
  uint32_t gid = 0;

  friend bool operator==(const Owner&, const Owner&) = default;
};

/// How a container's IDs are mapped to those of the host.
struct IdMapping {
  std::vector<IdRange> uids;
  std::vector<IdRange> gids;
  Owner root;  // on the host, of what is root's in the container

  /// A container could own what belongs to `owner` without any mapping.
  bool HasOnHost(const Owner& owner) const;
  /// As containerd reads them: "uidmap=0:100000:65536" and "gidmap=...".
  std::vector<std::string> MountOptions() const;
};

/// What the labels of a Prepare say; nothing when they say nothing. kInvalidArgument names the
/// label.
StatusOr<std::optional<IdMapping>> IdMappingOf(const Labels& labels);

/// OK: the IDs of all that is mounted at and below `root` can be mapped, tried in the way in which
/// containerd does it: on a copy of the mounts that nobody sees. Else why not.
Status ProbeIdMapping(const std::filesystem::path& root);

}  // namespace starling::snapshotter
