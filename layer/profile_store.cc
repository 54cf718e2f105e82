#include "layer/profile_store.h"

#include <fcntl.h>
#include <sys/file.h>

#include <cerrno>

#include "base/log.h"
#include "layer/kept_files.h"

namespace starling::layer {
namespace {

constexpr std::string_view kSuffix = ".json";
constexpr std::string_view kLockName = "lock";

}  // namespace

std::filesystem::path ProfileStore::PathOf(const oci::Digest& image) const {
  return directory_ / (image.Hex() + std::string(kSuffix));
}

/// Held by one process at a time; the kernel lets go of it with the descriptor.
StatusOr<UniqueFd> ProfileStore::LockDirectory() {
  RETURN_IF_ERROR(MakeDirectories(directory_, 0700));
  const std::filesystem::path path = directory_ / kLockName;
  ASSIGN_OR_RETURN(UniqueFd lock, files_.Open(path, O_RDWR | O_CREAT, 0600));
  while (::flock(lock.get(), LOCK_EX) != 0) {
    if (errno != EINTR) {
      return ErrnoError(errno, fmt::format("lock {}", path.string()));
    }
  }
  return lock;
}

StatusOr<AccessProfile> ProfileStore::Read(const oci::Digest& image) {
  const std::filesystem::path path = PathOf(image);
  const auto read = [&]() -> StatusOr<AccessProfile> {
    ASSIGN_OR_RETURN(const Bytes json, ReadFile(files_, path, AccessProfile::kMaxJsonBytes));
    ASSIGN_OR_RETURN(AccessProfile profile, AccessProfile::Parse(json));
    if (profile.image() != image) {
      return MakeError(StatusCode::kDataLoss,
                       fmt::format("it is the profile of {}", profile.image().ToString()));
    }
    return profile;
  };
  StatusOr<AccessProfile> profile = read();
  switch (profile.status().code()) {
    case StatusCode::kDataLoss:
    case StatusCode::kResourceExhausted: {
      log::Warning("an access profile is damaged and was removed",
                   {{"file", path.string()}, {"error", Describe(profile.status())}});
      std::error_code ignored;
      std::filesystem::remove(path, ignored);
      return MakeError(StatusCode::kNotFound, "the kept profile was damaged");
    }
    case StatusCode::kNotFound:
      return MakeError(StatusCode::kNotFound,
                       fmt::format("no access profile of {} is kept", image.ToString()));
    default:
      return profile;
  }
}

StatusOr<AccessProfile> ProfileStore::Find(const oci::Digest& image) {
  MutexLock lock(mutex_);
  StatusOr<AccessProfile> profile = Read(image);
  if (profile.ok()) {
    // By this time the profiles to go are chosen; without it one that is used goes early.
    std::error_code ignored;
    std::filesystem::last_write_time(PathOf(image), std::filesystem::file_time_type::clock::now(),
                                     ignored);
  }
  return profile;
}

StatusOr<AccessProfile> ProfileStore::Add(const AccessProfile& profile) {
  MutexLock lock(mutex_);
  ASSIGN_OR_RETURN(const UniqueFd directory_lock, LockDirectory());
  StatusOr<AccessProfile> kept = Read(profile.image());
  if (!kept.ok() && kept.status().code() != StatusCode::kNotFound) {
    return kept.status();
  }
  if (kept.ok()) {
    ASSIGN_OR_RETURN(kept, AccessProfile::Merge(*kept, profile));
  } else {
    kept = profile;
  }
  const std::filesystem::path path = PathOf(profile.image());
  RETURN_IF_ERROR(WriteFileAtomically(files_, path, AsBytes(kept->ToJson()), 0600));
  RETURN_IF_ERROR(RemoveOldest(directory_, kSuffix, {.files = max_profiles_}, path));
  return kept;
}

Status ProfileStore::Remove(const oci::Digest& image) {
  MutexLock lock(mutex_);
  std::error_code error;
  std::filesystem::remove(PathOf(image), error);
  return error ? ErrnoError(error.value(), PathOf(image).string()) : OkStatus();
}

}  // namespace starling::layer
