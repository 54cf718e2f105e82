#pragma once

#include <sys/stat.h>

#include <cstdint>
#include <filesystem>
#include <string>
#include <unordered_map>
#include <vector>

#include "base/mutex.h"
#include "base/status.h"
#include "dockerfile/files/selection.h"
#include "oci/digest.h"

namespace starling::dockerfile::files {

/// Digests of files' contents, so that what did not change is not read again. A file is the same if
/// its number, size and both times are; one that was changed within the last two seconds may change
/// once more within the same tick, and is not remembered. Kept in one file. Threads: safe.
class ContentDigests {
 public:
  /// Knows what an earlier Save has left in `file`; nothing if that cannot be read.
  explicit ContentDigests(std::filesystem::path file);

  /// Of the entry's content. Reads it if it must.
  StatusOr<oci::Digest> Of(const Entry& entry);
  /// Keeps what was asked for since the start, if anything is new.
  Status Save();
  /// How many files were read.
  uint64_t read_files() const;

 private:
  struct Key {
    uint64_t device = 0;
    uint64_t inode = 0;
    uint64_t size = 0;
    int64_t modified_ns = 0;
    int64_t changed_ns = 0;
    friend bool operator==(const Key&, const Key&) = default;
  };
  struct Hash {
    size_t operator()(const Key& key) const {
      return static_cast<size_t>(key.inode * 0x9e3779b97f4a7c15ULL ^
                                 static_cast<uint64_t>(key.changed_ns));
    }
  };
  /// As it stands in the file.
  struct Record {
    Key key;
    oci::Digest::Value digest;
  };
  void Load();

  const std::filesystem::path file_;
  mutable Mutex mutex_;  // leaf
  std::unordered_map<Key, oci::Digest::Value, Hash> known_ GUARDED_BY(mutex_);
  std::unordered_map<Key, oci::Digest::Value, Hash> used_ GUARDED_BY(mutex_);
  uint64_t read_files_ GUARDED_BY(mutex_) = 0;
};

/// The digest of all that a source selects: names, types, modes, owners, attributes, contents, but
/// no times, so that a checkout elsewhere gives the same. The name of what a path without a pattern
/// selects is not in it. Source: BuildKit, cache/contenthash, for what counts.
StatusOr<oci::Digest> DigestOf(const CopySource& source, const std::vector<std::string>& exclude,
                               bool parents, ContentDigests& contents);

}  // namespace starling::dockerfile::files
