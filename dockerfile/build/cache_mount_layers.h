#pragma once

#include <optional>
#include <set>
#include <string>
#include <vector>

#include "base/status.h"
#include "containerd/client.h"
#include "dockerfile/build/cache_mounts.h"
#include "dockerfile/build/image_writer.h"
#include "dockerfile/plan/graph.h"
#include "oci/platform.h"

namespace starling::dockerfile::build {

/// The ids of the cache mounts of `root` and all that it needs.
std::set<std::string> CacheMountsOf(const plan::Graph& graph, plan::NodeId root);

struct StoredCacheMounts {
  /// One layer for each, in the order of their ids; nothing when none of them has a file here.
  std::optional<BuiltImage> image;
  /// Those that another build was writing to: they are not in it.
  std::vector<std::string> changing;
};

/// Stores what the cache mounts `ids` hold in containerd, as an image that CacheImport fills others
/// from. Equal files, equal bytes. Blocks. Errors: those of diff::UpperTar and of containerd, with
/// the mount's id.
StatusOr<StoredCacheMounts> StoreCacheMounts(containerd::Client& client, const CacheMounts& mounts,
                                             const std::set<std::string>& ids, size_t threads,
                                             const oci::Platform& platform);

}  // namespace starling::dockerfile::build
