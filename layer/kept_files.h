#pragma once

#include <cstdint>
#include <filesystem>
#include <string_view>

#include "base/status.h"

namespace starling::layer {

/// How much of its kind a directory may hold.
struct KeptLimits {
  size_t files = SIZE_MAX;
  uint64_t bytes = UINT64_MAX;
};

/// Removes the files of `directory` with the oldest times, of those with `extension` (with its
/// dot), until what is left keeps `limits`. Never `newest`, whatever the file system's clock says.
Status RemoveOldest(const std::filesystem::path& directory, std::string_view extension,
                    const KeptLimits& limits, const std::filesystem::path& newest);

}  // namespace starling::layer
