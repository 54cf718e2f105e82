#pragma once

#include <string>
#include <vector>

#include "oci/image_config.h"

namespace starling::layer {

/// Where the files may be that an image's command names: its program and what it is given, in the
/// directories of PATH and in the working directory, and of a shell's `-c` the words. Absolute
/// names, the likeliest first; a few hundred at most, and most of them nowhere.
std::vector<std::string> NamesInCommand(const oci::ImageConfig& config);

}  // namespace starling::layer
