/// Programs that install packages, each one static file for a processor, which runs on any base:
/// uv, as its wheels of the package index have it, and micromamba, as its project releases it.
#pragma once

#include <array>
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

enum class Tool { kUv, kMicromamba };
inline constexpr std::array kTools = {Tool::kUv, Tool::kMicromamba};
/// "uv": also the program's own name.
std::string_view NameOf(Tool tool);
/// Where its files are released: the URL that ReleasedFile::directory is below.
std::string_view ReleasesOf(Tool tool);

struct ToolRelease {
  Tool tool = Tool::kUv;
  std::string version;       // "0.13.9", of micromamba with its build: "2.8.1-0"
  std::string architecture;  // as of oci::Platform
  ReleasedFile released;
};

/// What the path of a released file says. Nothing for a file that is no static program for an image
/// of ours. uv's wheels have their version in their names, whatever their directory is;
/// micromamba's files in their directory. The digest is left empty.
std::optional<ToolRelease> ParseToolFile(std::string_view path);

/// The releases that are known, each with the digest that its file must have. Nothing else is ever
/// used.
class ToolTable {
 public:
  /// What Starling knows by itself.
  static ToolTable BuiltIn();

  /// Adds lines as ReleaseTable takes them, whose FILE has its directory in front. Files that are
  /// no tool are passed over. Nothing is added after an error.
  Status Add(std::string_view sums);

  /// Of an exact version (of micromamba also without its build: the newest one), or of the newest
  /// with "latest". Errors: kNotFound says what there is instead.
  StatusOr<ToolRelease> Choose(Tool tool, const std::string& version,
                               const std::string& architecture) const;

 private:
  std::map<std::string, ToolRelease, std::less<>> releases_;  // by what names the file
};

/// The programs that were unpacked, each once. Threads and processes: safe.
class ToolStore {
 public:
  explicit ToolStore(std::filesystem::path directory) : directory_(std::move(directory)) {}

  /// A directory with the program, by its name; fetches it if it is not there yet. `scratch` is a
  /// directory of the caller's on the same file system. Blocks.
  StatusOr<std::filesystem::path> Provide(const ToolRelease& release, const ReleaseSource& source,
                                          const std::filesystem::path& scratch,
                                          const OnFetch& on_fetch,
                                          const std::stop_token& stop) const;
  /// Removes all programs. A build that uses one fails.
  StatusOr<TreeStore::Removed> Clear() const { return TreeStore(directory_).Clear(); }

 private:
  const std::filesystem::path directory_;
};

}  // namespace starling::dockerfile::python
