#include "mount/image_process.h"

#include <fcntl.h>
#include <poll.h>
#include <sched.h>
#include <sys/mount.h>
#include <sys/prctl.h>
#include <sys/signalfd.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <csignal>
#include <span>

#include "base/io.h"
#include "base/pipe.h"
#include "base/poll.h"
#include "base/temp_dir.h"
#include "base/unique_fd.h"

namespace starling::mount {
namespace {

constexpr std::string_view kDefaultPath =
    "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin";
constexpr int kReportFd = 3;
constexpr int kSignalExitBase = 128;

/// What a process that was made to fail was about to do.
enum class Step : int {
  kMounts,
  kMemory,
  kOverlay,
  kProc,
  kDevices,
  kRoot,
  kFork,
  kDirectory,
  kRun
};

std::string_view NameOf(Step step) {
  switch (step) {
    case Step::kMounts:
      return "separate the mounts";
    case Step::kMemory:
      return "mount memory for what the command writes";
    case Step::kOverlay:
      return "mount a writable layer over the image";
    case Step::kProc:
      return "mount /proc";
    case Step::kDevices:
      return "mount /dev";
    case Step::kRoot:
      return "change the root";
    case Step::kFork:
      return "fork";
    case Step::kDirectory:
      return "enter the working directory";
    case Step::kRun:
      return "run the command";
  }
  return "start";
}

struct Report {
  Step step = Step::kRun;
  int error = 0;
};

/// Everything that the new process needs, made before it exists: the process that it is copied from
/// has threads, so until its exec it may do nothing but system calls.
struct Plan {
  std::string scratch;
  std::string upper;
  std::string work;
  std::string root;
  std::string proc;
  std::string devices;
  std::string overlay_options;
  std::string working_directory;
  std::vector<std::string> candidates;  // paths to try
  std::vector<char*> arguments;
  std::vector<char*> environment;
  int report_fd = -1;
  std::array<int, 2> output_fds = {-1, -1};  // for standard output and error; -1: the caller's
};

std::vector<char*> PointersTo(const std::vector<std::string>& texts) {
  std::vector<char*> pointers;
  pointers.reserve(texts.size() + 1);
  for (const std::string& text : texts) {
    pointers.push_back(const_cast<char*>(text.c_str()));
  }
  pointers.push_back(nullptr);
  return pointers;
}

std::vector<std::string> Candidates(const ImageCommand& command) {
  const std::string& name = command.arguments.front();
  if (name.find('/') != std::string::npos) {
    return {name};
  }
  std::string_view path = kDefaultPath;
  for (const std::string& variable : command.environment) {
    constexpr std::string_view kPath = "PATH=";
    if (variable.starts_with(kPath)) {
      path = std::string_view(variable).substr(kPath.size());
    }
  }
  std::vector<std::string> candidates;
  while (!path.empty()) {
    const size_t end = std::min(path.find(':'), path.size());
    candidates.push_back(fmt::format("{}/{}", path.substr(0, end), name));
    path.remove_prefix(std::min(end + 1, path.size()));
  }
  return candidates;
}

Plan MakePlan(const ImageCommand& command, const std::filesystem::path& scratch) {
  Plan plan{
      .scratch = scratch,
      .upper = scratch / "upper",
      .work = scratch / "work",
      .root = scratch / "root",
      .proc = scratch / "root/proc",
      .devices = scratch / "root/dev",
      .working_directory = command.working_directory.empty() ? "/" : command.working_directory,
      .candidates = Candidates(command),
      .arguments = PointersTo(command.arguments),
      .environment = PointersTo(command.environment)};
  plan.overlay_options =
      fmt::format("lowerdir={},upperdir={},workdir={}",
                  std::filesystem::absolute(command.image).string(), plan.upper, plan.work);
  return plan;
}

[[noreturn]] void Fail(Step step) {
  const Report report{.step = step, .error = errno};
  (void)!::write(kReportFd, &report, sizeof report);
  ::_exit(1);
}

void Require(bool done, Step step) {
  if (!done) {
    Fail(step);
  }
}

bool MakeDirectory(const std::string& path) {
  return ::mkdir(path.c_str(), 0755) == 0 || errno == EEXIST;
}

[[noreturn]] void Execute(const Plan& plan) {
  sigset_t none;
  sigemptyset(&none);
  ::sigprocmask(SIG_SETMASK, &none, nullptr);
  Require(::chdir(plan.working_directory.c_str()) == 0, Step::kDirectory);
  int error = ENOENT;
  for (const std::string& candidate : plan.candidates) {
    ::execve(candidate.c_str(), plan.arguments.data(), plan.environment.data());
    // A later directory may have it; what was found but cannot run is the better message.
    error = errno == ENOENT || errno == ENOTDIR ? error : errno;
  }
  errno = error;
  Fail(Step::kRun);
}

/// The first process of its namespace: when it ends, so does everything in it.
[[noreturn]] void Supervise(const Plan& plan) {
  ::prctl(PR_SET_PDEATHSIG, SIGKILL, 0, 0, 0);
  for (size_t i = 0; i < plan.output_fds.size(); ++i) {
    if (plan.output_fds[i] >= 0) {
      ::dup2(plan.output_fds[i], STDOUT_FILENO + static_cast<int>(i));
    }
  }
  // No descriptor of the server stays open here, above all none of its FUSE connections.
  ::dup2(plan.report_fd, kReportFd);
  ::fcntl(kReportFd, F_SETFD, FD_CLOEXEC);
  ::syscall(SYS_close_range, kReportFd + 1, ~0U, 0);
  sigset_t signals;
  sigemptyset(&signals);
  sigaddset(&signals, SIGTERM);
  sigaddset(&signals, SIGCHLD);
  ::sigprocmask(SIG_BLOCK, &signals, nullptr);

  Require(::mount(nullptr, "/", nullptr, MS_REC | MS_PRIVATE, nullptr) == 0, Step::kMounts);
  Require(::mount("tmpfs", plan.scratch.c_str(), "tmpfs", 0, "mode=0700") == 0, Step::kMemory);
  Require(MakeDirectory(plan.upper) && MakeDirectory(plan.work) && MakeDirectory(plan.root),
          Step::kMemory);
  Require(::mount("starling", plan.root.c_str(), "overlay", 0, plan.overlay_options.c_str()) == 0,
          Step::kOverlay);
  Require(MakeDirectory(plan.proc) && ::mount("proc", plan.proc.c_str(), "proc",
                                              MS_NOSUID | MS_NODEV | MS_NOEXEC, nullptr) == 0,
          Step::kProc);
  Require(MakeDirectory(plan.devices) &&
              ::mount("/dev", plan.devices.c_str(), nullptr, MS_BIND | MS_REC, nullptr) == 0,
          Step::kDevices);
  Require(::chroot(plan.root.c_str()) == 0 && ::chdir("/") == 0, Step::kRoot);

  const pid_t command = ::_Fork();
  Require(command >= 0, Step::kFork);
  if (command == 0) {
    Execute(plan);
  }
  ::close(kReportFd);
  for (;;) {
    const int received = ::sigwaitinfo(&signals, nullptr);
    if (received == SIGTERM) {
      ::kill(command, SIGTERM);
    }
    int status = 0;
    pid_t ended = 0;
    // Orphans are this process's children, too.
    while ((ended = ::waitpid(-1, &status, WNOHANG)) > 0) {
      if (ended == command) {
        ::_exit(WIFEXITED(status) ? WEXITSTATUS(status) : kSignalExitBase + WTERMSIG(status));
      }
    }
  }
}

/// Passes on what a command prints, and looks for a text in it.
class PrintedText {
 public:
  /// Borrows `wanted`, which is not empty.
  PrintedText(UniqueFd from, int to, const std::string& wanted)
      : from_(std::move(from)), to_(to), wanted_(wanted) {}

  int fd() const { return from_.get(); }  // -1 once it has ended
  bool was_found() const { return was_found_; }
  /// Reads what is there; blocks when nothing is.
  void Read() {
    std::array<std::byte, kPartBytes> part{};
    FdSource source(from_.get());
    const StatusOr<size_t> size = source.Read(part);
    if (!size.ok() || *size == 0) {
      from_.Reset();
      return;
    }
    const ByteSpan printed = ByteSpan(part).first(*size);
    // Whoever reads ours may have gone; the command goes on.
    (void)FdSink(to_).Write(printed);
    last_ += AsText(printed);
    was_found_ = was_found_ || last_.find(wanted_) != std::string::npos;
    last_.erase(0, last_.size() - std::min(last_.size(), wanted_.size() - 1));
  }
  void ReadToEnd() {
    while (from_.valid()) {
      Read();
    }
  }

 private:
  static constexpr size_t kPartBytes = 16 << 10;

  UniqueFd from_;
  const int to_;
  const std::string& wanted_;
  std::string last_;  // too short to hold what is wanted
  bool was_found_ = false;
};

StatusOr<int> Reap(pid_t process) {
  int status = 0;
  while (::waitpid(process, &status, 0) < 0) {
    if (errno != EINTR) {
      return ErrnoError(errno, "wait for the command");
    }
  }
  return WIFEXITED(status) ? WEXITSTATUS(status) : kSignalExitBase + WTERMSIG(status);
}

/// Waits until `process` has ended, passing SIGTERM on, or until what is waited for; true then.
StatusOr<bool> WaitFor(pid_t process, const RunUntil& until, std::span<PrintedText> outputs) {
  std::optional<std::chrono::steady_clock::time_point> deadline;
  if (until.time) {
    deadline = std::chrono::steady_clock::now() + *until.time;
  }
  sigset_t signals;
  sigemptyset(&signals);
  sigaddset(&signals, SIGTERM);
  sigaddset(&signals, SIGINT);
  const UniqueFd received(::signalfd(-1, &signals, SFD_CLOEXEC | SFD_NONBLOCK));
  const UniqueFd ended(static_cast<int>(::syscall(SYS_pidfd_open, process, 0)));
  if (!received.valid() || !ended.valid()) {
    return ErrnoError(errno, "watch the command");
  }
  for (;;) {
    std::vector<pollfd> polled = {{.fd = ended.get(), .events = POLLIN, .revents = 0},
                                  {.fd = received.get(), .events = POLLIN, .revents = 0}};
    for (const PrintedText& output : outputs) {
      polled.push_back({.fd = output.fd(), .events = POLLIN, .revents = 0});
    }
    ASSIGN_OR_RETURN(const bool is_ready, PollUntil(polled, deadline));
    if (!is_ready) {
      return true;
    }
    for (size_t i = 0; i < outputs.size(); ++i) {
      if (polled[2 + i].revents != 0) {
        outputs[i].Read();
      }
      if (outputs[i].was_found()) {
        return true;
      }
    }
    signalfd_siginfo signal{};
    if (::read(received.get(), &signal, sizeof signal) == sizeof signal &&
        signal.ssi_signo == SIGTERM) {
      ::kill(process, SIGTERM);
    }
    if (polled[0].revents != 0) {
      return false;
    }
  }
}

/// Waits for the end of `process`, and brings it about when it is time.
StatusOr<CommandEnd> WaitForEnd(pid_t process, const RunUntil& until,
                                std::span<PrintedText> outputs) {
  const StatusOr<bool> was_reached = WaitFor(process, until, outputs);
  if (!was_reached.ok() || *was_reached) {
    ::kill(process, SIGKILL);
  }
  ASSIGN_OR_RETURN(const int code, Reap(process));
  RETURN_IF_ERROR(was_reached.status());
  CommandEnd end{.exit_code = code, .was_reached = *was_reached};
  // All that it started has ended with it, and so do the pipes.
  for (PrintedText& output : outputs) {
    output.ReadToEnd();
    end.was_reached = end.was_reached || output.was_found();
  }
  return end;
}

}  // namespace

StatusOr<CommandEnd> RunInImage(const ImageCommand& command, const RunUntil& until) {
  if (command.arguments.empty()) {
    return MakeError(StatusCode::kInvalidArgument, "no command to run");
  }
  ASSIGN_OR_RETURN(const TempDir scratch, TempDir::Make("/tmp", "starling-run-"));
  Plan plan = MakePlan(command, scratch.path());
  ASSIGN_OR_RETURN(Pipe pipe, MakePipe());
  plan.report_fd = pipe.write_end.get();
  std::vector<PrintedText> outputs;
  std::vector<UniqueFd> output_ends;
  for (size_t i = 0; i < plan.output_fds.size() && !until.printed.empty(); ++i) {
    ASSIGN_OR_RETURN(Pipe output, MakePipe());
    plan.output_fds[i] = output.write_end.get();
    output_ends.push_back(std::move(output.write_end));
    outputs.emplace_back(std::move(output.read_end), STDOUT_FILENO + static_cast<int>(i),
                         until.printed);
  }
  const auto process = static_cast<pid_t>(
      ::syscall(SYS_clone, CLONE_NEWNS | CLONE_NEWPID | SIGCHLD, nullptr, nullptr, nullptr, 0));
  if (process < 0) {
    return ErrnoError(errno, "make a process with namespaces of its own");
  }
  if (process == 0) {
    Supervise(plan);
  }
  pipe.write_end.Reset();
  output_ends.clear();
  FdSource source(pipe.read_end.get());
  Report report;
  const StatusOr<size_t> reported =
      ReadFully(source, std::as_writable_bytes(std::span(&report, 1)));
  ASSIGN_OR_RETURN(const CommandEnd end, WaitForEnd(process, until, outputs));
  if (reported.ok() && *reported == sizeof report) {
    return ErrnoError(report.error,
                      fmt::format("{}: {}", command.arguments.front(), NameOf(report.step)));
  }
  return end;
}

}  // namespace starling::mount
