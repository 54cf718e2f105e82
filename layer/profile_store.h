#pragma once

#include <filesystem>
#include <string_view>

#include "base/file_system.h"
#include "base/mutex.h"
#include "layer/access_profile.h"

namespace starling::layer {

/// The access profiles that a node keeps: `<directory>/<image digest hex>.json`, each replaced in
/// one step. Knowledge that may be lost: a file that cannot be understood is logged once, removed,
/// and counts as absent.
/// Threads: safe; processes too, which wait for each other. All calls block for the disk.
class ProfileStore {
 public:
  static constexpr size_t kDefaultMaxProfiles = 256;
  /// The directory's place below the root of a daemon or of a mount.
  static constexpr std::string_view kDirectoryName = "profiles";

  /// The directory (0700) is made with the first profile. Borrows `files`.
  ProfileStore(std::filesystem::path directory, FileSystem& files,
               size_t max_profiles = kDefaultMaxProfiles)
      : directory_(std::move(directory)), files_(files), max_profiles_(max_profiles) {}

  /// kNotFound when none is kept for the image.
  StatusOr<AccessProfile> Find(const oci::Digest& image);
  /// Merges `profile` with what is kept for its image and returns the result. Beyond the maximum
  /// the profiles that were written or found longest ago go.
  StatusOr<AccessProfile> Add(const AccessProfile& profile);
  /// Fine if there is none.
  Status Remove(const oci::Digest& image);

 private:
  std::filesystem::path PathOf(const oci::Digest& image) const;
  StatusOr<AccessProfile> Read(const oci::Digest& image) EXCLUSIVE_LOCKS_REQUIRED(mutex_);
  StatusOr<UniqueFd> LockDirectory();

  const std::filesystem::path directory_;
  FileSystem& files_;
  const size_t max_profiles_;
  Mutex mutex_;  // held over disk access: nobody who serves the kernel waits for it
};

}  // namespace starling::layer
