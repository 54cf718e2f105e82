#pragma once

#include <cstdint>
#include <filesystem>
#include <functional>
#include <stop_token>
#include <string>

#include "base/status.h"
#include "dockerfile/python/release.h"

namespace starling::dockerfile::python {

/// Where the project's releases are.
inline constexpr std::string_view kReleases =
    "https://github.com/astral-sh/python-build-standalone/releases/download";
/// Where a Python is put in an image.
inline constexpr std::string_view kPrefix = "/usr/local";

/// Where released files come from: an http(s) URL with the form of the project's own
/// (URL/DIRECTORY/FILE), or a directory that has them by their names or below their directories.
class ReleaseSource {
 public:
  explicit ReleaseSource(std::string place) : place_(std::move(place)) {}

  bool is_directory() const;
  /// Of a directory; a server is not asked.
  bool Has(const ReleasedFile& released) const;
  /// Writes the file to the new file `to` and checks it against its digest. Blocks. Errors name
  /// where it was looked for: kNotFound, kUnavailable, kDataLoss for another digest. After an error
  /// there is no file.
  Status Fetch(const ReleasedFile& released, const std::filesystem::path& to,
               const std::stop_token& stop) const;
  /// Where a file is.
  std::string PlaceOf(const ReleasedFile& released) const;

 private:
  const std::string place_;
};

/// Called before a file is fetched.
using OnFetch = std::function<void(const std::string& place)>;
/// Fills the new directory `ready` from a file that was fetched and checked.
using MakeReady =
    std::function<Status(const std::filesystem::path& file, const std::filesystem::path& ready)>;
/// The directory `kept`; has `make` fill it from the released file if it is not there yet. Its name
/// says that all of it is there: also after a loss of power, and for processes that do the same at
/// once. `scratch` is a directory of the caller's on the same file system. Blocks. Errors name the
/// file.
StatusOr<std::filesystem::path> KeepReleased(const std::filesystem::path& kept,
                                             const ReleasedFile& released,
                                             const ReleaseSource& source,
                                             const std::filesystem::path& scratch,
                                             const OnFetch& on_fetch, const MakeReady& make,
                                             const std::stop_token& stop);

/// The trees of Pythons that were unpacked, each once, ready to be copied to kPrefix. Threads and
/// processes: safe.
class TreeStore {
 public:
  explicit TreeStore(std::filesystem::path directory) : directory_(std::move(directory)) {}

  /// A directory with the tree below `python/`; fetches, unpacks and repairs it if it is not there
  /// yet. `scratch` is a directory of the caller's on the same file system. Blocks.
  StatusOr<std::filesystem::path> Provide(const Release& release, const ReleaseSource& source,
                                          const std::filesystem::path& scratch,
                                          const OnFetch& on_fetch,
                                          const std::stop_token& stop) const;

  struct Removed {
    size_t trees = 0;
  };
  /// Removes all trees. A build that uses one fails.
  StatusOr<Removed> Clear() const;

 private:
  const std::filesystem::path directory_;
};

}  // namespace starling::dockerfile::python
