#pragma once

#include <filesystem>
#include <string_view>

#include "base/status.h"

namespace starling::layer {

/// Removes the files of `directory` that were written longest ago, of those with `extension` (with
/// its dot), until `max_files` are left. Never `newest`, whatever the file system's clock says.
Status RemoveOldest(const std::filesystem::path& directory, std::string_view extension,
                    size_t max_files, const std::filesystem::path& newest);

}  // namespace starling::layer
