#pragma once

#include <sys/stat.h>

#include <cstdint>
#include <filesystem>
#include <functional>
#include <string>
#include <string_view>
#include <vector>

#include "base/status.h"
#include "base/unique_fd.h"

namespace starling::dockerfile::files {

/// The root of a tree, opened. Errors name the path.
StatusOr<UniqueFd> OpenRoot(const std::filesystem::path& root);

/// Opens `path` as a process finds it whose root directory is `root`: links, absolute ones too, and
/// ".." lead nowhere else. `flags` as of open(2). Source: openat2(2), RESOLVE_IN_ROOT.
StatusOr<UniqueFd> OpenInRoot(int root, std::string_view path, uint64_t flags);

/// The program at `path`, found as OpenInRoot does: a regular file that somebody may execute.
/// Opened without being read (O_PATH); an invalid descriptor for none.
UniqueFd OpenProgram(int root, std::string_view path);

/// Opens `path` below `directory` if no link is on the way and it ends in none.
StatusOr<UniqueFd> OpenWithoutLinks(int directory, std::string_view path, uint64_t flags);

/// A directory that EnsureDirectory has made.
using OnMade = std::function<Status(int directory)>;

/// The directory at `path` as such a process would find it. What is missing is made, mode 0755
/// whatever the umask is, also where a link leads to nothing. kFailedPrecondition names a part of
/// the path that is no directory.
StatusOr<UniqueFd> EnsureDirectory(int root, std::string_view path, const OnMade& on_made);

/// Names in a directory, sorted by bytes.
StatusOr<std::vector<std::string>> NamesIn(int directory);

/// Removes `name` in `directory` with all that is in it; links are removed, not followed. Nothing
/// there is fine. kResourceExhausted below 500 directories.
Status RemoveTree(int directory, const std::string& name);

/// The path without its empty and "." parts.
std::vector<std::string> PartsOf(std::string_view path);

}  // namespace starling::dockerfile::files
