#include "fuse/session.h"

#include <fcntl.h>
#include <poll.h>
#include <pthread.h>
#include <sched.h>
#include <signal.h>
#include <sys/mount.h>

#include <atomic>
#include <cerrno>
#include <chrono>
#include <cstring>
#include <mutex>
#include <thread>
#include <vector>

#include "base/clock.h"
#include "base/copy_fd.h"
#include "base/executor.h"
#include "base/log.h"
#include "fuse/connection.h"
#include "fuse/mount_table.h"
#include "fuse/read_ahead.h"
#include "fuse/request_pace.h"

namespace starling::fuse {
namespace {

constexpr const char* kFileSystemType = "fuse.starling";

/// A signal that does nothing but end a read(2); its number is one that no library of ours takes.
int WakeSignal() { return SIGRTMIN + 3; }

void InstallWakeHandler() {
  static std::once_flag once;
  std::call_once(once, [] {
    struct sigaction action{};
    action.sa_handler = [](int) {};  // without SA_RESTART
    sigaction(WakeSignal(), &action, nullptr);
  });
}

void SetReadAheadOf(const Session::Options& options) {
  const auto mount = FindMount(options.mount_point);
  if (mount.ok() && mount->has_value()) {
    SetReadAhead((*mount)->device, options.read_ahead_kib);
  }
}

StatusOr<UniqueFd> OpenDevice(const std::filesystem::path& device) {
  UniqueFd fd(::open(device.c_str(), O_RDWR | O_CLOEXEC));
  if (fd.valid()) {
    return fd;
  }
  const int error = errno;
  if (error == ENOENT || error == ENODEV || error == ENXIO) {
    return MakeError(
        StatusCode::kFailedPrecondition,
        fmt::format("{} is missing: load the kernel module with `modprobe fuse`, or pass "
                    "the device into this container (--device /dev/fuse)",
                    device.native()));
  }
  if (error == EACCES || error == EPERM) {
    return MakeError(StatusCode::kFailedPrecondition,
                     fmt::format("{} may not be opened: lazy layers need root", device.native()));
  }
  return ErrnoError(error, fmt::format("open {}", device.native()));
}

/// Takes away what a server that died left at the mount point.
Status RemoveStaleMounts(const std::filesystem::path& mount_point) {
  for (;;) {
    ASSIGN_OR_RETURN(const std::optional<MountEntry> mount, FindMount(mount_point));
    if (!mount || mount->type != kFileSystemType) {
      return OkStatus();
    }
    if (::umount2(mount_point.c_str(), MNT_DETACH) != 0) {
      return ErrnoError(errno, fmt::format("unmount {}", mount_point.native()));
    }
  }
}

Status MountDevice(const Session::Options& options, int device) {
  // No MS_NOSUID, no MS_NODEV: setuid programs and device nodes of images must work.
  const std::string data = fmt::format(
      "fd={},rootmode=40000,user_id=0,group_id=0,allow_other,default_permissions", device);
  if (::mount("starling", options.mount_point.c_str(), kFileSystemType, MS_RDONLY, data.c_str()) ==
      0) {
    return OkStatus();
  }
  const int error = errno;
  if (error == EPERM || error == EACCES) {
    return MakeError(
        StatusCode::kFailedPrecondition,
        fmt::format("mount at {}: not permitted; lazy layers need root with CAP_SYS_ADMIN",
                    options.mount_point.native()));
  }
  return ErrnoError(error, fmt::format("mount at {}", options.mount_point.native()));
}

void UnmountDetached(const std::filesystem::path& mount_point) {
  if (::umount2(mount_point.c_str(), MNT_DETACH) != 0 && errno != EINVAL) {
    log::Warning("unmount failed", {{"path", mount_point.native()}, {"error", strerror(errno)}});
  }
}

}  // namespace

/// The threads that receive requests.
class Session::Workers {
 public:
  Workers(std::shared_ptr<Connection> connection, size_t threads)
      : connection_(std::move(connection)), running_(threads) {
    InstallWakeHandler();
    for (size_t i = 0; i < threads; ++i) {
      threads_.emplace_back([this, i] {
        SetThreadName(fmt::format("fuse-{}", i));
        Serve();
        running_.fetch_sub(1);
      });
    }
  }
  ~Workers() {
    stopping_.store(true);
    // A signal that comes between the check of `stopping_` and read(2) is lost, so it is repeated.
    while (running_.load() > 0) {
      for (std::thread& thread : threads_) {
        pthread_kill(thread.native_handle(), WakeSignal());
      }
      std::this_thread::sleep_for(std::chrono::milliseconds(1));
    }
    for (std::thread& thread : threads_) {
      thread.join();
    }
  }

 private:
  void Serve() {
    sigset_t wake;
    sigemptyset(&wake);
    sigaddset(&wake, WakeSignal());
    pthread_sigmask(SIG_UNBLOCK, &wake, nullptr);
    const auto memory = std::make_unique_for_overwrite<std::byte[]>(Connection::kReceiveBytes);
    const std::span<std::byte> buffer{memory.get(), Connection::kReceiveBytes};
    bool is_mounted = true;
    while (is_mounted && !stopping_.load(std::memory_order_relaxed)) {
      if (pace_.IsServedAlone(SystemClock().Now())) {
        std::this_thread::sleep_for(kNap);
        continue;
      }
      is_mounted = Answer(buffer);
      if (is_mounted && is_another_processor_ && pace_.BeginWatch()) {
        is_mounted = Watch(buffer);
        pace_.EndWatch();
      }
    }
  }

  /// Waits for a request and answers it. False when no more can come.
  bool Answer(std::span<std::byte> buffer) {
    const ssize_t size = ::read(connection_->fd(), buffer.data(), buffer.size());
    if (size > 0) {
      pace_.OnRequest(SystemClock().Now());
      connection_->Process(buffer.first(static_cast<size_t>(size)));
      pace_.OnAnswered(SystemClock().Now());
      return true;
    }
    // ENOENT is a request that was interrupted before it was read.
    if (size < 0 && (errno == EINTR || errno == EAGAIN || errno == ENOENT)) {
      return true;
    }
    // ENODEV: unmounted.
    if (size == 0 || errno != ENODEV) {
      log::Error("fuse: the device cannot be read", {{"error", strerror(errno)}});
    }
    return false;
  }

  /// Answers as long as requests follow quickly, one at a time. False when no more can come.
  bool Watch(std::span<std::byte> buffer) {
    while (!stopping_.load(std::memory_order_relaxed) && AwaitSoon()) {
      if (!Answer(buffer)) {
        return false;
      }
    }
    return true;
  }

  /// Waits awake. Whoever else wants the processor has it. False when nothing came soon, or more
  /// came at once than one should answer.
  bool AwaitSoon() {
    pollfd asked{.fd = connection_->fd(), .events = POLLIN, .revents = 0};
    if (::poll(&asked, 1, 0) != 0) {
      pace_.OnBacklog();
      return false;
    }
    const auto begun = SystemClock().Now();
    for (;;) {
      ::sched_yield();
      const bool is_asked = ::poll(&asked, 1, 0) != 0;
      const auto now = SystemClock().Now();
      if (is_asked) {
        pace_.OnCalm(now);
        return true;
      }
      if (now - begun >= RequestPace::kSoon) {
        return false;
      }
    }
  }

  /// So often threads look whether another one still serves alone.
  static constexpr std::chrono::milliseconds kNap{1};

  const std::shared_ptr<Connection> connection_;
  /// Who asks needs one, too.
  const bool is_another_processor_ = std::thread::hardware_concurrency() > 1;
  RequestPace pace_;
  std::atomic<bool> stopping_ = false;
  std::atomic<size_t> running_;
  std::vector<std::thread> threads_;
};

StatusOr<std::unique_ptr<Session>> Session::Mount(const Options& options,
                                                  const Operations& operations) {
  RETURN_IF_ERROR(RemoveStaleMounts(options.mount_point));
  ASSIGN_OR_RETURN(UniqueFd device, OpenDevice(options.device));
  RETURN_IF_ERROR(MountDevice(options, device.get()));
  StatusOr<std::shared_ptr<Connection>> connection =
      Connection::Make(std::move(device), operations);
  const Status status = connection.ok() ? (*connection)->Negotiate() : connection.status();
  if (!status.ok()) {
    UnmountDetached(options.mount_point);
    return status;
  }
  SetReadAheadOf(options);
  return std::unique_ptr<Session>(new Session(options, *std::move(connection)));
}

StatusOr<std::unique_ptr<Session>> Session::Adopt(const Options& options,
                                                  const Operations& operations, Device device) {
  ASSIGN_OR_RETURN(std::shared_ptr<Connection> connection,
                   Connection::Make(std::move(device.fd), operations));
  RETURN_IF_ERROR(connection->Renegotiate(std::move(device.init_request)));
  connection->AskForUnanswered();
  return std::unique_ptr<Session>(new Session(options, std::move(connection)));
}

bool Session::IsAlive(const Device& device) {
  pollfd asked{.fd = device.fd.get(), .events = POLLOUT, .revents = 0};
  // POLLERR is what the kernel says of an ended connection.
  return ::poll(&asked, 1, 0) == 1 && asked.revents == POLLOUT;
}

Session::Session(Options options, std::shared_ptr<Connection> connection)
    : options_(std::move(options)),
      connection_(std::move(connection)),
      workers_(std::make_unique<Workers>(connection_, options_.threads)) {}

Session::~Session() {
  if (!is_released_) {
    UnmountDetached(options_.mount_point);  // while the threads still serve
  }
  workers_.reset();
}

StatusOr<Session::Device> Session::CopyDevice() const {
  ASSIGN_OR_RETURN(UniqueFd copy, CopyFd(connection_->fd()));
  return Device{.fd = std::move(copy), .init_request = connection_->init_request()};
}

void Session::LeaveFailures() { connection_->LeaveFailures(); }

StatusOr<Session::Device> Session::Release() {
  ASSIGN_OR_RETURN(Device device, CopyDevice());
  workers_.reset();
  connection_->Abandon();
  is_released_ = true;
  return device;
}

void Session::ForgetLayer(uint64_t number) {
  connection_->ForgetName(DirectoryNameOf(number));
  connection_->ForgetName(DeviceNameOf(number));
}

}  // namespace starling::fuse
