/// Files of others that were changed and can be put back, byte for byte.
#pragma once

#include <filesystem>
#include <string>
#include <string_view>

#include "base/file_system.h"
#include "base/status.h"

namespace starling::setup {

/// The largest configuration file that is read or kept.
inline constexpr uint64_t kMaxConfigBytes = 1 << 20;

/// One file and who changes it: `purpose` is a word. What stood there is kept beside it, as
/// FILE.before-starling-PURPOSE, with FILE.before-starling-PURPOSE.json, which says what was
/// written instead. A file that is a symbolic link is changed where it is.
/// Threads: one process at a time should change a file.
class KeptFile {
 public:
  KeptFile(FileSystem& files, std::filesystem::path file, std::string purpose);

  /// Whether the file was changed by Write and not restored yet.
  bool is_kept() const;
  const std::filesystem::path& path() const { return file_; }
  const std::filesystem::path& backup() const { return backup_; }

  /// Replaces what is there with `text`, and keeps what was there first. Owner and permissions
  /// stay. A new file gets `mode`; missing directories are made, and Restore removes them.
  /// kFailedPrecondition: something else changed the file since the last Write.
  Status Write(std::string_view text, mode_t mode = 0644);
  /// What Restore would say.
  Status CanRestore() const;
  /// Puts back what was there, which may be nothing. kNotFound: nothing is kept;
  /// kFailedPrecondition, which names the file: it was changed since, so nothing was done.
  Status Restore();

 private:
  struct Record;
  StatusOr<Record> ReadRecord() const;
  Status WriteRecord(const Record& record) const;
  /// kFailedPrecondition when the file is not what `record` says.
  Status CheckUnchanged(const Record& record) const;

  FileSystem& files_;
  const std::filesystem::path file_;
  const std::string purpose_;
  const std::filesystem::path backup_;
  const std::filesystem::path record_;
};

}  // namespace starling::setup
