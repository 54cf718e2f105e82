#include "fuse/read_ahead.h"

#include <fcntl.h>

#include <cerrno>
#include <cstring>

#include "base/log.h"
#include "base/unique_fd.h"

namespace starling::fuse {

bool SetReadAhead(const std::string& device, uint32_t read_ahead_kib) {
  const std::string path = fmt::format("/sys/class/bdi/{}/read_ahead_kb", device);
  const std::string value = std::to_string(read_ahead_kib);
  const UniqueFd file(::open(path.c_str(), O_WRONLY | O_CLOEXEC));
  if (!file.valid() || ::write(file.get(), value.data(), value.size()) < 0) {
    log::Debug("readahead stays at the kernel's default",
               {{"path", path}, {"error", strerror(errno)}});
    return false;
  }
  return true;
}

}  // namespace starling::fuse
