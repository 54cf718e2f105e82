#include "fuse/errno_map.h"

#include <cerrno>

namespace starling::fuse {

int ErrnoOf(StatusCode code) {
  switch (code) {
    case StatusCode::kOk:
      return 0;
    case StatusCode::kNotFound:
      return ENOENT;
    case StatusCode::kInvalidArgument:
      return EINVAL;
    case StatusCode::kUnimplemented:
      return ENOSYS;
    default:
      // Unreachable registries, refused credentials, wrong digests: one to a reader.
      return EIO;
  }
}

}  // namespace starling::fuse
