#include "mount/mount_record.h"

#include <fcntl.h>
#include <poll.h>
#include <sys/mount.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <cerrno>
#include <csignal>
#include <nlohmann/json.hpp>
#include <sstream>
#include <vector>

#include "base/io.h"
#include "mount/layer_host.h"
#include "oci/digest.h"

namespace starling::mount {
namespace {

constexpr uint64_t kMaxRecordBytes = 64 << 10;
constexpr uint64_t kMaxStatBytes = 64 << 10;
// Field 22 of /proc/PID/stat, counted from the state, which is field 3. Source: proc(5).
constexpr size_t kStartTimeAfterState = 19;

/// When the process began, in clock ticks since boot: with the id it names a process for good.
StatusOr<std::string> StartTimeOf(pid_t pid) {
  // Files of /proc have no size, so they are read as a stream.
  ASSIGN_OR_RETURN(const UniqueFd fd,
                   RealFileSystem().Open(fmt::format("/proc/{}/stat", pid), O_RDONLY, 0));
  FdSource source(fd.get());
  ASSIGN_OR_RETURN(const Bytes bytes, ReadAll(source, kMaxStatBytes));
  const std::string_view text = AsText(bytes);
  // The name in parentheses may hold anything, spaces and parentheses too.
  const size_t name_end = text.rfind(')');
  if (name_end == std::string_view::npos) {
    return MakeError(StatusCode::kInternal, fmt::format("/proc/{}/stat is odd", pid));
  }
  std::istringstream fields{std::string(text.substr(name_end + 1))};
  std::string field;
  for (size_t i = 0; i <= kStartTimeAfterState; ++i) {
    fields >> field;
  }
  return field;
}

}  // namespace

struct MountRecords::Record {
  pid_t pid = 0;
  std::string start_time;
  std::filesystem::path root;

  bool Lives() const {
    const StatusOr<std::string> now = StartTimeOf(pid);
    return now.ok() && *now == start_time;
  }
};

std::filesystem::path MountRecords::PathOf(const std::filesystem::path& mounted_at) const {
  return directory_ / (oci::Digest::Of(AsBytes(mounted_at.string())).Hex().substr(0, 32) + ".json");
}

StatusOr<MountRecords::Record> MountRecords::Read(const std::filesystem::path& mounted_at) const {
  const std::filesystem::path path = PathOf(mounted_at);
  ASSIGN_OR_RETURN(const Bytes bytes, ReadFile(files_, path, kMaxRecordBytes));
  const auto json = nlohmann::json::parse(AsText(bytes), nullptr, /*allow_exceptions=*/false);
  if (!json.is_object() || !json.contains("pid") || !json["pid"].is_number_integer() ||
      !json.contains("start_time") || !json["start_time"].is_string() || !json.contains("root") ||
      !json["root"].is_string()) {
    return MakeError(StatusCode::kDataLoss, fmt::format("{} is damaged: remove it", path.string()));
  }
  return Record{.pid = json["pid"].get<pid_t>(),
                .start_time = json["start_time"].get<std::string>(),
                .root = json["root"].get<std::string>()};
}

Status MountRecords::Add(const std::filesystem::path& mounted_at,
                         const std::filesystem::path& root) {
  const StatusOr<Record> other = Read(mounted_at);
  if (other.ok() && other->Lives()) {
    return MakeError(StatusCode::kAlreadyExists,
                     fmt::format("{} is served by process {} already: starling umount it first",
                                 mounted_at.string(), other->pid));
  }
  ASSIGN_OR_RETURN(const std::string start_time, StartTimeOf(::getpid()));
  RETURN_IF_ERROR(MakeDirectories(directory_, 0700));
  const nlohmann::json json = {{"pid", ::getpid()},
                               {"start_time", start_time},
                               {"directory", mounted_at.string()},
                               {"root", root.string()}};
  return WriteFileAtomically(
      files_, PathOf(mounted_at),
      AsBytes(json.dump(-1, ' ', false, nlohmann::json::error_handler_t::replace)), 0600);
}

Status MountRecords::Remove(const std::filesystem::path& mounted_at) {
  std::error_code error;
  std::filesystem::remove(PathOf(mounted_at), error);
  return error ? ErrnoError(error.value(), PathOf(mounted_at).string()) : OkStatus();
}

Status MountRecords::Stop(const std::filesystem::path& mounted_at,
                          std::chrono::milliseconds timeout) {
  const StatusOr<Record> record = Read(mounted_at);
  if (!record.ok()) {
    if (record.status().code() == StatusCode::kNotFound) {
      return MakeError(StatusCode::kNotFound,
                       fmt::format("{} is not mounted by starling", mounted_at.string()));
    }
    return record.status();
  }
  // A descriptor of the process, so that nobody who gets the same id later is meant.
  UniqueFd process(static_cast<int>(::syscall(SYS_pidfd_open, record->pid, 0)));
  if (!process.valid() || !record->Lives()) {
    ::umount2(mounted_at.c_str(), MNT_DETACH);
    DetachLeftMounts(record->root);
    return Remove(mounted_at);
  }
  if (::syscall(SYS_pidfd_send_signal, process.get(), SIGTERM, nullptr, 0) != 0) {
    return ErrnoError(errno, fmt::format("end process {}", record->pid));
  }
  pollfd ended{.fd = process.get(), .events = POLLIN, .revents = 0};
  const int answered = ::poll(&ended, 1, static_cast<int>(timeout.count()));
  if (answered <= 0) {
    return MakeError(
        StatusCode::kDeadlineExceeded,
        fmt::format("process {} did not end within {} ms", record->pid, timeout.count()));
  }
  return Remove(mounted_at);
}

}  // namespace starling::mount
