#pragma once

#include "base/status.h"

namespace starling::fuse {

/// What a process that reads a layer sees for `code`. Never 0 but for kOk.
int ErrnoOf(StatusCode code);

}  // namespace starling::fuse
