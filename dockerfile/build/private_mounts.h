#pragma once

#include <filesystem>
#include <functional>

#include "base/status.h"

namespace starling::dockerfile::build {

/// Runs `work` on a thread of its own that has a mount name space of its own, made now, with an
/// empty file system on memory at `directory` (0700, made when missing). Whatever is mounted there
/// is seen by nobody else, but by programs that the work starts, and ends with it, however that
/// ends. Waits for it. kPermissionDenied without root.
Status RunWithPrivateMounts(const std::filesystem::path& directory,
                            const std::function<Status()>& work);

}  // namespace starling::dockerfile::build
