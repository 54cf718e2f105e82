#include "fuse/killed_thread.h"

#include <fcntl.h>
#include <signal.h>
#include <unistd.h>

#include <charconv>
#include <string>

#include "base/unique_fd.h"

namespace starling::fuse {
namespace {

constexpr size_t kMaxStatusBytes = 8 << 10;

}  // namespace

bool HasPendingKill(std::string_view status) {
  for (const std::string_view name : {"\nSigPnd:\t", "\nShdPnd:\t"}) {
    const size_t at = status.find(name);
    if (at == std::string_view::npos) {
      continue;
    }
    uint64_t signals = 0;
    const char* const begin = status.data() + at + name.size();
    std::from_chars(begin, status.data() + status.size(), signals, 16);
    if ((signals >> (SIGKILL - 1) & 1) != 0) {
      return true;
    }
  }
  return false;
}

bool IsBeingKilled(pid_t thread) {
  const UniqueFd file(
      ::open(("/proc/" + std::to_string(thread) + "/status").c_str(), O_RDONLY | O_CLOEXEC));
  if (!file.valid()) {
    return false;
  }
  std::string text(kMaxStatusBytes, '\0');
  const ssize_t size = ::read(file.get(), text.data(), text.size());
  return size > 0 && HasPendingKill(std::string_view(text).substr(0, static_cast<size_t>(size)));
}

}  // namespace starling::fuse
