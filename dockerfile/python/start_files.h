#pragma once

#include <filesystem>
#include <string>
#include <vector>

namespace starling::dockerfile::python {

/// The files that Python reads before its first statement, as far as the tree at `tree` has them,
/// relative to it.
std::vector<std::string> StartFiles(const std::filesystem::path& tree, int minor);

}  // namespace starling::dockerfile::python
