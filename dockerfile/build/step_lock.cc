#include "dockerfile/build/step_lock.h"

#include <fcntl.h>
#include <sys/file.h>

#include <cerrno>
#include <chrono>
#include <condition_variable>
#include <mutex>

#include "base/file_system.h"

namespace starling::dockerfile::build {
namespace {

/// Steps share so many files: one for each key would fill the directory for ever. Those that share
/// one by chance wait for each other, nothing more.
constexpr size_t kNameDigits = 3;
constexpr std::chrono::milliseconds kPoll(20);

}  // namespace

StatusOr<UniqueFd> LockStep(const std::filesystem::path& directory, const oci::Digest& key,
                            const std::stop_token& stop) {
  RETURN_IF_ERROR(MakeDirectories(directory, 0700));
  const std::filesystem::path path = directory / key.Hex().substr(0, kNameDigits);
  ASSIGN_OR_RETURN(UniqueFd lock, RealFileSystem().Open(path, O_RDWR | O_CREAT, 0600));
  std::mutex mutex;
  std::condition_variable_any changed;
  while (::flock(lock.get(), LOCK_EX | LOCK_NB) != 0) {
    if (errno != EWOULDBLOCK && errno != EINTR) {
      return ErrnoError(errno, path.native());
    }
    std::unique_lock hold(mutex);
    changed.wait_for(hold, stop, kPoll, [] { return false; });
    if (stop.stop_requested()) {
      return MakeError(StatusCode::kCancelled, "stopped");
    }
  }
  return lock;
}

}  // namespace starling::dockerfile::build
