#include "base/copy_fd.h"

#include <fcntl.h>

#include <cerrno>

namespace starling {

StatusOr<UniqueFd> CopyFd(int fd) {
  UniqueFd copy(::fcntl(fd, F_DUPFD_CLOEXEC, 0));
  if (!copy.valid()) {
    return ErrnoError(errno, "copy a descriptor");
  }
  return copy;
}

}  // namespace starling
