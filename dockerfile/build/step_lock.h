#pragma once

#include <filesystem>
#include <stop_token>

#include "base/status.h"
#include "base/unique_fd.h"
#include "oci/digest.h"

namespace starling::dockerfile::build {

/// Lets one build of the machine at a time work on a step: whoever comes second finds the result.
/// Waits; kCancelled after a stop. The lock is held as long as the descriptor is open.
StatusOr<UniqueFd> LockStep(const std::filesystem::path& directory, const oci::Digest& key,
                            const std::stop_token& stop);

}  // namespace starling::dockerfile::build
