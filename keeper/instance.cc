#include "keeper/instance.h"

#include <fcntl.h>
#include <signal.h>
#include <sys/file.h>
#include <unistd.h>

#include <cerrno>
#include <charconv>
#include <optional>
#include <string>
#include <string_view>
#include <thread>

#include "base/bytes.h"
#include "base/file_system.h"
#include "base/io.h"

namespace starling::keeper {
namespace {

constexpr uint64_t kMaxFileBytes = 64;
constexpr uint64_t kMaxStatusBytes = 64 << 10;
constexpr std::chrono::milliseconds kPoll(20);

std::optional<pid_t> TakePid(std::string_view& text) {
  pid_t pid = 0;
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), pid);
  if (error != std::errc() || end == text.data() + text.size() || pid <= 0) {
    return std::nullopt;
  }
  text.remove_prefix(static_cast<size_t>(end + 1 - text.data()));
  return pid;
}

/// From /proc; none when the process is gone. Source: proc(5).
std::optional<pid_t> ParentOf(pid_t pid) {
  const auto fd = RealFileSystem().Open(fmt::format("/proc/{}/status", pid), O_RDONLY, 0);
  if (!fd.ok()) {
    return std::nullopt;
  }
  FdSource source(fd->get());
  const auto bytes = ReadAll(source, kMaxStatusBytes);
  const std::string_view text = bytes.ok() ? AsText(*bytes) : std::string_view();
  constexpr std::string_view kField = "\nPPid:\t";
  const size_t at = text.find(kField);
  if (at == std::string_view::npos) {
    return std::nullopt;
  }
  std::string_view rest = text.substr(at + kField.size());
  return TakePid(rest);
}

bool IsLocked(int fd) {
  if (::flock(fd, LOCK_SH | LOCK_NB) == 0) {
    ::flock(fd, LOCK_UN);
    return false;
  }
  return errno == EWOULDBLOCK;
}

}  // namespace

Status WriteInstance(int lock, const Instance& instance) {
  const std::string text = fmt::format("{}\n{}\n", instance.keeper, instance.server);
  RETURN_IF_ERROR(RealFileSystem().Resize(lock, 0));
  return RealFileSystem().WriteAt(lock, 0, AsBytes(text));
}

StatusOr<Instance> FindInstance(const std::filesystem::path& lock_file) {
  const auto fd = RealFileSystem().Open(lock_file, O_RDONLY, 0);
  if (fd.status().code() == StatusCode::kNotFound || (fd.ok() && !IsLocked(fd->get()))) {
    return MakeError(StatusCode::kNotFound,
                     fmt::format("no starlingd runs on {}", lock_file.parent_path().native()));
  }
  RETURN_IF_ERROR(fd.status());
  ASSIGN_OR_RETURN(const Bytes bytes, ReadFile(RealFileSystem(), lock_file, kMaxFileBytes));
  std::string_view text = AsText(bytes);
  const std::optional<pid_t> keeper = TakePid(text);
  const std::optional<pid_t> server = TakePid(text);
  if (!keeper || !server) {
    return MakeError(StatusCode::kUnavailable,
                     fmt::format("{} names no process: starlingd may be starting; try again",
                                 lock_file.native()));
  }
  // A process id may be another's by now, but not with this parent.
  if (ParentOf(*server) != keeper) {
    return MakeError(StatusCode::kFailedPrecondition,
                     fmt::format("process {} is not the keeper of the server {}, or one of them is "
                                 "just being replaced; try again",
                                 *keeper, *server));
  }
  return Instance{.keeper = *keeper, .server = *server};
}

StatusOr<Instance> Upgrade(const std::filesystem::path& lock_file,
                           std::chrono::milliseconds timeout) {
  ASSIGN_OR_RETURN(const Instance before, FindInstance(lock_file));
  if (::kill(before.keeper, SIGHUP) != 0) {
    return ErrnoError(errno, fmt::format("signal process {}", before.keeper));
  }
  const auto deadline = std::chrono::steady_clock::now() + timeout;
  while (std::chrono::steady_clock::now() < deadline) {
    const StatusOr<Instance> now = FindInstance(lock_file);
    if (now.ok() && *now != before) {
      return now;
    }
    std::this_thread::sleep_for(kPoll);
  }
  return MakeError(StatusCode::kDeadlineExceeded,
                   fmt::format("process {} goes on as before; its log says why", before.keeper));
}

}  // namespace starling::keeper
