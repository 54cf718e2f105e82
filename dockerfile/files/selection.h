/// What COPY and ADD select of a tree, and the way through it.
#pragma once

#include <sys/stat.h>

#include <filesystem>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "base/status.h"
#include "dockerfile/syntax/ignore_file.h"

namespace starling::dockerfile::files {

/// Where files are taken from.
struct CopySource {
  std::filesystem::path root;
  /// Relative to the root, clean; empty is all of it. With `parents` a "/./" may stand in it.
  std::string path;
  bool is_pattern = false;
  /// An archive is unpacked; told by its content.
  bool unpack = false;
  /// Of a context: what does not belong to it. Borrowed.
  const syntax::IgnoreFile* ignore_file = nullptr;
  /// Owners count as 0:0.
  bool zero_owners = false;
};

/// One thing on the way through a selection.
struct Entry {
  int directory = -1;  // open, of the file `name`; the name is "." for a selected directory itself
  std::string name;
  /// Relative to what was selected; empty for that itself.
  std::string path;
  struct stat attributes{};
};

/// Hears of a selection's entries, directories before what they hold, names in order.
class EntryVisitor {
 public:
  virtual ~EntryVisitor() = default;
  virtual Status EnterDirectory(const Entry& entry) = 0;
  virtual Status LeaveDirectory() = 0;
  virtual Status VisitFile(const Entry& entry) = 0;
};

/// What a source selects: paths relative to its root, in order. Links at and on the way to what a
/// path names are followed inside of the root. An ignored directory is there if it holds something
/// that is not. Errors: kNotFound for a path that is no pattern and is not there, or is ignored; a
/// pattern that matches nothing selects nothing.
StatusOr<std::vector<std::string>> Select(const CopySource& source, bool parents);

/// Patterns of --exclude. Null for none. Errors: kInvalidArgument.
StatusOr<std::unique_ptr<const syntax::IgnoreFile>> ParseExcludes(
    const std::vector<std::string>& patterns);

/// Goes through the selected `path`: what is ignored or excluded is left out, but a directory of
/// which something is included again. Excludes are relative to a selected directory, or to the one
/// that a selected file lies in. Errors name the path; kResourceExhausted below 500 directories.
Status Visit(const CopySource& source, const std::string& path, const syntax::IgnoreFile* exclude,
             EntryVisitor& visitor);

}  // namespace starling::dockerfile::files
