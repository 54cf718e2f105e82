#include "fuse/container_of.h"

#include <fcntl.h>
#include <unistd.h>

#include "base/text.h"
#include "base/unique_fd.h"

namespace starling::fuse {
namespace {

constexpr size_t kMaxCgroupBytes = 8 << 10;
constexpr size_t kMaxNameBytes = 128;

/// The last part of a cgroup's path, without what engines put around a name.
std::string NameIn(std::string_view path) {
  std::string_view name = path.substr(path.rfind('/') + 1);
  const bool is_scope = name.ends_with(".scope");
  bool is_engines = false;
  if (is_scope) {
    name.remove_suffix(std::string_view(".scope").size());
    for (const std::string_view prefix :
         {"cri-containerd-", "nerdctl-", "docker-", "crio-", "libpod-"}) {
      if (name.starts_with(prefix)) {
        name.remove_prefix(prefix.size());
        is_engines = true;
        break;
      }
    }
  }
  // Below systemd's own groups a container is a scope of its engine's.
  const bool is_systemds = path.starts_with("/system.slice/") || path.starts_with("/user.slice/");
  if (name.empty() || name.size() > kMaxNameBytes || name.ends_with(".slice") ||
      name.ends_with(".service") ||
      ((is_scope || is_systemds || path.find(".service/") != std::string_view::npos) &&
       !is_engines)) {
    return {};
  }
  return std::string(name);
}

}  // namespace

std::string ContainerIn(std::string_view cgroup) {
  std::string of_pids;
  while (!cgroup.empty()) {
    const std::string_view line = TakeLine(cgroup);
    // "HIERARCHY:CONTROLLERS:PATH"; without controllers: version 2.
    const size_t first = line.find(':');
    const size_t second = first == std::string_view::npos ? first : line.find(':', first + 1);
    if (second == std::string_view::npos) {
      continue;
    }
    const std::string_view controllers = line.substr(first + 1, second - first - 1);
    const std::string name = NameIn(line.substr(second + 1));
    if (controllers.empty() && !name.empty()) {
      return name;
    }
    if (controllers == "pids") {
      of_pids = name;
    }
  }
  return of_pids;
}

std::string ContainerOf(pid_t thread) {
  const UniqueFd file(
      ::open(("/proc/" + std::to_string(thread) + "/cgroup").c_str(), O_RDONLY | O_CLOEXEC));
  if (!file.valid()) {
    return {};
  }
  std::string text(kMaxCgroupBytes, '\0');
  const ssize_t size = ::read(file.get(), text.data(), text.size());
  return size > 0 ? ContainerIn(std::string_view(text).substr(0, static_cast<size_t>(size)))
                  : std::string();
}

}  // namespace starling::fuse
