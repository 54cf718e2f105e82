#pragma once

#include <filesystem>
#include <string>

#include "base/status.h"

namespace starling::dockerfile::python {

/// What of Python a process of an image finds.
struct BasePrograms {
  bool python = false;  // "python" in PATH
  bool pip = false;     // what `python -m pip` needs, or "pip" in PATH

  bool operator==(const BasePrograms&) const = default;
};

/// Looks for names in the tree at `root`, untrusted, in the directories of `search_path`. No file
/// is read: of a lazy image this takes its layers' indexes alone.
StatusOr<BasePrograms> FindPrograms(const std::filesystem::path& root,
                                    const std::string& search_path);

}  // namespace starling::dockerfile::python
