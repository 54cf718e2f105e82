#include "dockerfile/build/cache_mounts.h"

#include <fcntl.h>
#include <sys/file.h>
#include <sys/stat.h>

#include <cerrno>

#include "base/file_system.h"
#include "oci/digest.h"

namespace starling::dockerfile::build {
namespace {

constexpr const char* kLock = "lock";
constexpr const char* kFiles = "files";
/// Of one id in use at once.
constexpr int kMaxPrivate = 1000;

enum class Wait { kNo, kYes };

/// Takes the lock of `entry`. An invalid descriptor: somebody else has it. A prune may remove the
/// lock between open and lock, so that what was locked must still be what lies there.
StatusOr<UniqueFd> LockEntry(const std::filesystem::path& entry, int operation, Wait wait) {
  for (;;) {
    RETURN_IF_ERROR(MakeDirectories(entry, 0700));
    const std::filesystem::path path = entry / kLock;
    UniqueFd lock(::open(path.c_str(), O_RDWR | O_CREAT | O_CLOEXEC, 0600));
    if (!lock.valid() && errno == ENOENT) {
      continue;
    }
    if (!lock.valid()) {
      return ErrnoError(errno, path.native());
    }
    const int flags = operation | (wait == Wait::kNo ? LOCK_NB : 0);
    while (::flock(lock.get(), flags) != 0) {
      if (errno == EWOULDBLOCK) {
        return UniqueFd();
      }
      if (errno != EINTR) {
        return ErrnoError(errno, path.native());
      }
    }
    struct stat held{};
    struct stat there{};
    if (::fstat(lock.get(), &held) == 0 && ::stat(path.c_str(), &there) == 0 &&
        held.st_ino == there.st_ino) {
      return lock;
    }
  }
}

std::string NameOf(const std::string& id) { return oci::Digest::Of(AsBytes(id)).Hex(); }

/// Under an exclusive lock. What was filled appears at once.
Status MakeFiles(const std::filesystem::path& entry, const CacheMounts::Fill& fill) {
  const std::filesystem::path files = entry / kFiles;
  std::error_code error;
  if (std::filesystem::exists(files, error)) {
    return OkStatus();
  }
  const std::filesystem::path made = entry / "new";
  std::filesystem::remove_all(made, error);
  RETURN_IF_ERROR(MakeDirectories(made, 0755));
  if (fill) {
    RETURN_IF_ERROR(fill(made));
  }
  return RealFileSystem().Rename(made, files);
}

}  // namespace

StatusOr<CacheMounts::Lease> CacheMounts::Take(const std::string& id, syntax::CacheSharing sharing,
                                               const Fill& fill) {
  const std::string name = NameOf(id);
  if (sharing == syntax::CacheSharing::kPrivate) {
    for (int number = 0; number < kMaxPrivate; ++number) {
      const std::filesystem::path entry =
          directory_ / (number == 0 ? name : fmt::format("{}-{}", name, number));
      ASSIGN_OR_RETURN(UniqueFd lock, LockEntry(entry, LOCK_EX, Wait::kNo));
      if (lock.valid()) {
        RETURN_IF_ERROR(MakeFiles(entry, fill));
        return Lease(entry / kFiles, std::move(lock));
      }
    }
    return MakeError(StatusCode::kResourceExhausted,
                     fmt::format("cache mount {}: {} steps use it at once", id, kMaxPrivate));
  }
  const std::filesystem::path entry = directory_ / name;
  if (sharing == syntax::CacheSharing::kShared) {
    // Others may use it for hours: they are waited for only where the directory must be made first.
    for (;;) {
      ASSIGN_OR_RETURN(UniqueFd shared, LockEntry(entry, LOCK_SH, Wait::kYes));
      std::error_code error;
      if (std::filesystem::exists(entry / kFiles, error)) {
        return Lease(entry / kFiles, std::move(shared));
      }
      shared.Reset();
      ASSIGN_OR_RETURN(const UniqueFd alone, LockEntry(entry, LOCK_EX, Wait::kYes));
      RETURN_IF_ERROR(MakeFiles(entry, fill));
    }
  }
  ASSIGN_OR_RETURN(UniqueFd lock, LockEntry(entry, LOCK_EX, Wait::kYes));
  RETURN_IF_ERROR(MakeFiles(entry, fill));
  return Lease(entry / kFiles, std::move(lock));
}

StatusOr<bool> CacheMounts::Look(const std::string& id, const Read& read) const {
  const std::filesystem::path entry = directory_ / NameOf(id);
  std::error_code error;
  if (!std::filesystem::exists(entry / kFiles, error)) {
    return false;
  }
  ASSIGN_OR_RETURN(const UniqueFd shared, LockEntry(entry, LOCK_SH, Wait::kYes));
  if (!std::filesystem::exists(entry / kFiles, error)) {
    return false;  // pruned meanwhile
  }
  RETURN_IF_ERROR(read(entry / kFiles));
  return true;
}

StatusOr<CacheMounts::Removed> CacheMounts::Prune() {
  Removed removed;
  std::error_code error;
  for (const auto& found : std::filesystem::directory_iterator(directory_, error)) {
    ASSIGN_OR_RETURN(const UniqueFd lock, LockEntry(found.path(), LOCK_EX, Wait::kNo));
    if (!lock.valid()) {
      continue;
    }
    for (const auto& file : std::filesystem::recursive_directory_iterator(found.path(), error)) {
      std::error_code ignored;
      if (file.is_regular_file(ignored) && !file.is_symlink(ignored)) {
        removed.bytes += file.file_size(ignored);
      }
    }
    std::filesystem::remove_all(found.path(), error);
    if (error) {
      return ErrnoError(error.value(), found.path().native());
    }
    ++removed.directories;
  }
  return removed;
}

}  // namespace starling::dockerfile::build
