/// The program uv, as its wheels of the package index have it: one static program for a processor,
/// which runs on any base.
#pragma once

#include <filesystem>
#include <map>
#include <optional>
#include <stop_token>
#include <string>
#include <string_view>

#include "base/status.h"
#include "dockerfile/python/release.h"
#include "dockerfile/python/tree_store.h"

namespace starling::dockerfile::python {

/// Where the package index has its files.
inline constexpr std::string_view kIndexFiles = "https://files.pythonhosted.org/packages";

struct UvRelease {
  std::string version;       // "0.13.9"
  std::string architecture;  // as of oci::Platform
  ReleasedFile released;
};

/// What the name of a wheel says. Nothing for a file that is no static uv for an image of ours.
/// The digest and the directory are left empty.
std::optional<UvRelease> ParseUvWheel(std::string_view file);

/// The releases that are known, each with the digest that its file must have. Nothing else is ever
/// used.
class UvTable {
 public:
  /// What Starling knows by itself.
  static UvTable BuiltIn();

  /// Adds lines as ReleaseTable takes them; here, FILE may have the directory of its source in
  /// front. Files that are no uv are passed over. Nothing is added after an error.
  Status Add(std::string_view sums);

  /// Of an exact version, or of the newest with "latest". Errors: kNotFound says what there is
  /// instead.
  StatusOr<UvRelease> Choose(const std::string& version, const std::string& architecture) const;

 private:
  std::map<std::string, UvRelease, std::less<>> releases_;  // by file
};

/// The programs that were unpacked, each once. Threads and processes: safe.
class UvStore {
 public:
  explicit UvStore(std::filesystem::path directory) : directory_(std::move(directory)) {}

  /// A directory with the program `uv`; fetches it if it is not there yet. `scratch` is a directory
  /// of the caller's on the same file system. Blocks.
  StatusOr<std::filesystem::path> Provide(const UvRelease& release, const ReleaseSource& source,
                                          const std::filesystem::path& scratch,
                                          const OnFetch& on_fetch,
                                          const std::stop_token& stop) const;
  /// Removes all programs. A build that uses one fails.
  StatusOr<TreeStore::Removed> Clear() const { return TreeStore(directory_).Clear(); }

 private:
  const std::filesystem::path directory_;
};

}  // namespace starling::dockerfile::python
