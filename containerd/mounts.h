#pragma once

#include <vector>

#include "api/containerd/types/mount.pb.h"
#include "containerd/client.h"

namespace starling::containerd {

/// As containerd's API has them.
inline std::vector<Mount> MountsOf(
    const google::protobuf::RepeatedPtrField<::containerd::types::Mount>& from) {
  std::vector<Mount> mounts;
  for (const ::containerd::types::Mount& mount : from) {
    mounts.push_back({.type = mount.type(),
                      .source = mount.source(),
                      .options = {mount.options().begin(), mount.options().end()}});
  }
  return mounts;
}

}  // namespace starling::containerd
