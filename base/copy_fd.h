#pragma once

#include "base/status.h"
#include "base/unique_fd.h"

namespace starling {

/// Another descriptor of the same open file; programs that are run do not inherit it.
StatusOr<UniqueFd> CopyFd(int fd);

}  // namespace starling
