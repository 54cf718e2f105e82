#pragma once

#include <filesystem>
#include <optional>
#include <string>

#include "base/status.h"
#include "dockerfile/python/release.h"

namespace starling::dockerfile::python {

/// What the programs of a root file system are linked with.
struct BaseLibc {
  Libc libc = Libc::kGnu;
  /// Of GNU's, 2.N; absent where the library does not say it.
  std::optional<int> minor;

  bool operator==(const BaseLibc&) const = default;
};

/// Looks at the files of the tree at `root`, untrusted, for a machine of `architecture`. Where both
/// loaders are there, the shell tells which is the tree's own. Errors: kFailedPrecondition for a
/// tree without a C library.
StatusOr<BaseLibc> FindLibc(const std::filesystem::path& root, const std::string& architecture);

/// Whether Pythons run there: kFailedPrecondition says why not.
/// Source: python-build-standalone, docs/running.rst.
Status CheckRuns(const BaseLibc& base);

}  // namespace starling::dockerfile::python
