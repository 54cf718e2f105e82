#include "dockerfile/build/scratch_directory.h"

#include <fcntl.h>
#include <sys/file.h>

#include <cerrno>

#include "base/file_system.h"

namespace starling::dockerfile::build {
namespace {

constexpr const char* kPrefix = "build-";

/// The directory, locked; an invalid descriptor when somebody else has it.
UniqueFd Lock(const std::filesystem::path& directory) {
  UniqueFd opened(::open(directory.c_str(), O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC));
  return opened.valid() && ::flock(opened.get(), LOCK_EX | LOCK_NB) == 0 ? std::move(opened)
                                                                         : UniqueFd();
}

}  // namespace

StatusOr<ScratchDirectory> ScratchDirectory::Make(const std::filesystem::path& parent) {
  RETURN_IF_ERROR(MakeDirectories(parent, 0700));
  // One build at a time looks around: a directory that was made and is not locked yet is new.
  ASSIGN_OR_RETURN(const UniqueFd alone, RealFileSystem().Open(parent, O_RDONLY | O_DIRECTORY, 0));
  if (::flock(alone.get(), LOCK_EX) != 0) {
    return ErrnoError(errno, parent.native());
  }
  std::error_code error;
  for (const auto& found : std::filesystem::directory_iterator(parent, error)) {
    if (found.path().filename().native().starts_with(kPrefix) && Lock(found.path()).valid()) {
      std::error_code ignored;
      std::filesystem::remove_all(found.path(), ignored);
    }
  }
  ASSIGN_OR_RETURN(TempDir directory, TempDir::Make(parent, kPrefix));
  UniqueFd lock = Lock(directory.path());
  if (!lock.valid()) {
    return ErrnoError(errno, directory.path().native());
  }
  return ScratchDirectory(std::move(directory), std::move(lock));
}

}  // namespace starling::dockerfile::build
