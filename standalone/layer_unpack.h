#pragma once

#include <filesystem>
#include <vector>

#include "base/io.h"
#include "base/status.h"
#include "base/unique_fd.h"
#include "containerd/client.h"
#include "oci/digest.h"

namespace starling::standalone {

/// Writes the tar in `layer`, untrusted and compressed in any way that layers are, to `scratch`,
/// an empty file, and its files to a snapshot with these mounts; whiteouts remove what is below.
/// Mounts are made at `work_directory` and seen by nobody else. Returns the tar's digest, which the
/// caller compares. Errors: kDataLoss for a broken layer. kPermissionDenied without root.
StatusOr<oci::Digest> UnpackLayer(ByteSource& layer, const UniqueFd& scratch,
                                  const std::vector<containerd::Mount>& mounts,
                                  const std::filesystem::path& work_directory);

}  // namespace starling::standalone
