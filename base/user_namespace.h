/// User namespaces that exist only to say how IDs are mapped.
#pragma once

#include <cstdint>
#include <span>

#include "base/status.h"
#include "base/unique_fd.h"

namespace starling {

/// `count` IDs from `outside` on are called `inside` and following in the namespace.
/// Source: user_namespaces(7).
struct IdRange {
  uint32_t inside = 0;
  uint32_t outside = 0;
  uint32_t count = 0;

  friend bool operator==(const IdRange&, const IdRange&) = default;
};

/// A new user namespace in which no process lives: it is there while the descriptor is open, for
/// mount_setattr(2). Makes a process and ends it. Errors: what the kernel says, such as
/// kPermissionDenied where user namespaces are forbidden. Threads: safe.
StatusOr<UniqueFd> MakeUserNamespace(std::span<const IdRange> uids, std::span<const IdRange> gids);

}  // namespace starling
