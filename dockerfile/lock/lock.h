/// The file that says which exact content the moving names of a build stood for: docs/lock.md.
#pragma once

#include <map>
#include <string>
#include <vector>

#include "base/bytes.h"
#include "base/status.h"
#include "oci/digest.h"

namespace starling::dockerfile::lock {

inline constexpr int kLockVersion = 1;
inline constexpr size_t kMaxLockBytes = size_t{16} << 20U;

/// A file of a release: a Python's by its name, a tool's with the directory of its source in front.
struct LockedFile {
  std::string file;
  oci::Digest digest;

  friend bool operator==(const LockedFile&, const LockedFile&) = default;
};

struct Lock {
  /// What a reference stands for: an index or a manifest.
  std::map<std::string, oci::Digest> images;
  /// By what is asked for: "3.12 amd64 gnu v1".
  std::map<std::string, LockedFile> pythons;
  /// By what is asked for: "uv 0.13.9 amd64".
  std::map<std::string, LockedFile> tools;
  /// What installs stand for, as the lines that install it; by platform and command.
  std::map<std::string, std::vector<std::string>> packages;
  /// By URL.
  std::map<std::string, oci::Digest> downloads;
  /// Commits, by "REMOTE#REF".
  std::map<std::string, std::string> repositories;

  friend bool operator==(const Lock&, const Lock&) = default;
};

/// Reads a lock from untrusted JSON. Strict: members that are not known and another version are
/// refused. Errors: kInvalidArgument with the JSON pointer; kResourceExhausted past the limit.
StatusOr<Lock> ParseLock(ByteSpan json);
/// Equal locks, equal text: a line for each name, sorted.
std::string WriteLock(const Lock& lock);

}  // namespace starling::dockerfile::lock
