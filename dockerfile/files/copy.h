#pragma once

#include <cstdint>
#include <filesystem>
#include <optional>
#include <stop_token>
#include <string>
#include <string_view>
#include <vector>

#include "base/status.h"
#include "dockerfile/files/selection.h"
#include "dockerfile/files/users.h"
#include "dockerfile/syntax/values.h"

namespace starling::dockerfile::files {

/// One COPY or ADD.
struct CopyRequest {
  std::vector<CopySource> sources;
  /// Absolute; ends in a slash when it is a directory whatever is there.
  std::string destination;
  /// Of all that is made; absent: what each file has.
  std::optional<Owner> owner;
  std::optional<syntax::ModeChange> chmod;
  std::vector<std::string> exclude;
  /// A source keeps its path, from a "/./" in it on if there is one. The destination is a directory
  /// that is made in any case.
  bool parents = false;
  /// Directories that no source has get the time of what was copied last, so that equal sources
  /// make equal trees; else they are as old as the copy.
  bool date_made_directories = false;
  /// Archives that unpack to more are refused.
  uint64_t max_unpacked_bytes = uint64_t{1} << 40;
};

struct CopyReport {
  uint64_t files = 0;
  uint64_t bytes = 0;
};

/// Copies into the tree at `root`, which may be hostile: no link in it, or in a source, leads
/// out of its tree. The rules are those of BuildKit: a directory stands for what it holds; a file
/// goes into the destination if that ends in a slash or is a directory, else it takes its name;
/// missing parents are made 0755; an existing directory keeps its mode and owner if it is the
/// destination, and takes those of the source below it; a file replaces a file or a link, never a
/// directory, nor the other way round; sockets become empty files. Times are kept.
/// Errors name the path. kCancelled after a stop. Threads: safe for other trees.
StatusOr<CopyReport> CopyFiles(const CopyRequest& request, const std::filesystem::path& root,
                               const std::stop_token& stop);

/// The directory at `path` in the tree and its missing parents, which get `owner`, mode 0755.
Status MakeDirectory(const std::filesystem::path& root, std::string_view path, Owner owner);

/// `mode` as --chmod changes it. Source: chmod(1).
uint32_t ChangedMode(const syntax::ModeChange& change, uint32_t mode, bool is_directory);

}  // namespace starling::dockerfile::files
