#pragma once

#include <filesystem>
#include <map>
#include <memory>
#include <string>

#include "transport/file_extent.h"

namespace starling::transport {

/// Named files that belong together, in a directory or in an archive. Threads: safe.
class MemberFiles {
 public:
  virtual ~MemberFiles() = default;
  /// `name` is relative and has no "..". kNotFound when there is no such file.
  virtual StatusOr<FileExtent> Find(const std::string& name) const = 0;
};

/// The files below a directory.
class DirectoryFiles : public MemberFiles {
 public:
  explicit DirectoryFiles(std::filesystem::path directory) : directory_(std::move(directory)) {}
  StatusOr<FileExtent> Find(const std::string& name) const override;

 private:
  std::filesystem::path directory_;
};

/// The members of a tar. An uncompressed one is read in place; of a compressed one (gzip, zstd, xz,
/// bzip2) the members are unpacked into one nameless temporary file.
class TarFiles : public MemberFiles {
 public:
  /// Reads all headers. Names that lead out of the archive, hard links and sparse members are
  /// refused; symbolic links, which docker save writes for shared layers, lead to other members.
  /// Errors: kNotFound for a missing file, kDataLoss for what is no tar.
  static StatusOr<std::unique_ptr<TarFiles>> Open(const std::filesystem::path& path);
  StatusOr<FileExtent> Find(const std::string& name) const override;

 private:
  TarFiles() = default;

  std::map<std::string, FileExtent> members_;
  std::map<std::string, std::string> links_;  // to names of members, maybe missing ones
};

}  // namespace starling::transport
