#include "keeper/keeper.h"

#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <sys/signalfd.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <charconv>
#include <cstring>

#include "base/clock.h"
#include "base/copy_fd.h"
#include "base/file_system.h"
#include "base/io.h"
#include "base/log.h"
#include "keeper/descriptors.h"
#include "keeper/service_manager.h"
#include "keeper/supervisor.h"

namespace starling::keeper {
namespace {

constexpr const char* kThisProgram = "/proc/self/exe";
constexpr std::string_view kStorePrefix = "starling-";
constexpr std::string_view kStateName = "starling-state";
/// The server's id, next to the keeper's end of its channel; only from one keeper to the next.
constexpr std::string_view kServerName = "server";
/// How often the keeper looks whether a server's main thread is dead though others of its threads
/// are not. Nothing tells it: since Linux 6.15 not even a pidfd of that thread does.
constexpr std::chrono::milliseconds kLookAtServer(250);
constexpr uint64_t kMaxStatBytes = 4096;
/// How long after a server's main thread its other threads usually are gone.
constexpr int kLastThreadsMs = 200;
constexpr int kCheckPatienceMs = 20'000;
constexpr int kExecFailed = 127;

sigset_t WatchedSignals() {
  sigset_t signals;
  sigemptyset(&signals);
  for (const int signal : {SIGTERM, SIGINT, SIGHUP, SIGCHLD}) {
    sigaddset(&signals, signal);
  }
  return signals;
}

std::vector<char*> PointersTo(std::vector<std::string>& arguments) {
  std::vector<char*> pointers;
  pointers.reserve(arguments.size() + 1);
  for (std::string& argument : arguments) {
    pointers.push_back(argument.data());
  }
  pointers.push_back(nullptr);
  return pointers;
}

ServerEnd EndOf(int status) {
  if (WIFEXITED(status)) {
    return {.exit_code = WEXITSTATUS(status),
            .description = fmt::format("exit code {}", WEXITSTATUS(status))};
  }
  return {.exit_code = std::nullopt, .description = fmt::format("signal {}", WTERMSIG(status))};
}

UniqueFd OpenPid(pid_t pid) {
  return UniqueFd(static_cast<int>(::syscall(SYS_pidfd_open, pid, 0)));
}

/// Source: proc_pid_stat(5), its third field.
bool IsMainThreadDead(pid_t pid) {
  const auto fd = RealFileSystem().Open(fmt::format("/proc/{}/stat", pid), O_RDONLY, 0);
  if (!fd.ok()) {
    return false;
  }
  FdSource source(fd->get());
  const auto bytes = ReadAll(source, kMaxStatBytes);
  const std::string_view text = bytes.ok() ? AsText(*bytes) : std::string_view();
  // The second field is a name, in which anything may stand.
  const size_t name_end = text.rfind(") ");
  return name_end != std::string_view::npos && text.substr(name_end + 2).starts_with("Z");
}

void NotifyOrWarn(const std::string& state, std::span<const int> fds = {}) {
  if (const Status notified = NotifyServiceManager(state, fds); !notified.ok()) {
    log::Warning("the service manager is not notified", {{"error", Describe(notified)}});
  }
}

/// The keeper's descriptors and processes.
class Keeper final : private Actions {
 public:
  explicit Keeper(KeeperOptions options)
      : arguments_(std::move(options.arguments)),
        resume_(std::move(options.resume)),
        supervisor_(*this, SystemClock()) {}

  StatusOr<int> Run();

 private:
  StatusOr<pid_t> StartServer() override;
  void SendSignal(pid_t server, int signal) override { ::kill(server, signal); }
  Status CheckSuccessor() override;
  Status Become() override;
  void Notify(const std::string& state) override { NotifyOrWarn(state); }

  Status Resume();
  StatusOr<bool> TakeStored();
  StatusOr<std::vector<Kept>> CopyKept() const;
  StatusOr<pid_t> Execute(const char* program, std::string_view option, std::vector<Kept> inherited,
                          bool is_server);
  void Wait();
  void OnSignals();
  void OnMessage();
  void OnMainThreadEnded();
  void Reap();
  void Ended(const ServerEnd& end);
  void Store();

  std::vector<std::string> arguments_;
  UniqueFd resume_;
  std::string program_;  // where this program was when it was started
  std::vector<Kept> kept_;
  UniqueFd signals_;
  Channel channel_{UniqueFd()};
  Supervisor supervisor_;
};

StatusOr<int> Keeper::Run() {
  // What whoever started this program left open, too: a server that held a file of its own mounts
  // could not end.
  RETURN_IF_ERROR(SetNoneInherited());
  const sigset_t watched = WatchedSignals();
  ::sigprocmask(SIG_BLOCK, &watched, nullptr);
  signals_ = UniqueFd(::signalfd(-1, &watched, SFD_CLOEXEC | SFD_NONBLOCK));
  if (!signals_.valid()) {
    return ErrnoError(errno, "signalfd");
  }
  std::error_code error;
  program_ = std::filesystem::read_symlink(kThisProgram, error).native();
  if (error) {
    return ErrnoError(error.value(), kThisProgram);
  }
  if (resume_.valid()) {
    RETURN_IF_ERROR(Resume());
  } else {
    ASSIGN_OR_RETURN(const bool has_mounts, TakeStored());
    supervisor_.Start(has_mounts);
  }
  while (!supervisor_.exit_code()) {
    Wait();
  }
  if (*supervisor_.exit_code() == 0) {
    // Unmounted: nothing that the next start could use.
    for (const Kept& kept : kept_) {
      NotifyOrWarn(fmt::format("FDSTOREREMOVE=1\nFDNAME={}{}", kStorePrefix, kept.name));
    }
    NotifyOrWarn(fmt::format("FDSTOREREMOVE=1\nFDNAME={}", kStateName));
  }
  return *supervisor_.exit_code();
}

/// Takes over from the keeper that this process was before.
Status Keeper::Resume() {
  ASSIGN_OR_RETURN(kept_, TakeInherited(std::move(resume_)));
  std::optional<pid_t> server;
  if (Kept* entry = FindKept(kept_, kServerName)) {
    pid_t pid = 0;
    const std::string_view text = AsText(entry->value);
    if (std::from_chars(text.data(), text.data() + text.size(), pid).ec != std::errc()) {
      return MakeError(StatusCode::kDataLoss, "kept state: the server's id is odd");
    }
    channel_ = Channel(std::move(entry->fd));
    std::erase_if(kept_, [](const Kept& kept) { return kept.name == kServerName; });
    server = pid;
  }
  log::Info("this program takes over", {{"program", program_}});
  supervisor_.Resume(server);
  Reap();  // what ended before there was anybody to tell
  return OkStatus();
}

/// Takes what the service manager passed: our own that it stored, or a socket. True: mounts are
/// among it.
StatusOr<bool> Keeper::TakeStored() {
  ASSIGN_OR_RETURN(std::vector<PassedDescriptor> passed, TakePassedDescriptors());
  const auto state = std::ranges::find(passed, kStateName, &PassedDescriptor::name);
  if (state != passed.end()) {
    StatusOr<std::vector<Entry>> entries = ReadState(state->fd.get());
    RETURN_IF_ERROR(Annotate(entries.status(), "descriptors of the service manager"));
    for (Entry& entry : *entries) {
      const auto found = std::ranges::find(passed, fmt::format("{}{}", kStorePrefix, entry.name),
                                           &PassedDescriptor::name);
      if (found == passed.end() || !found->fd.valid()) {
        log::Warning("what the service manager stored is not all there: everything begins anew",
                     {{"missing", entry.name}});
        kept_.clear();
        return false;
      }
      kept_.push_back({.name = std::move(entry.name),
                       .value = std::move(entry.value),
                       .fd = std::move(found->fd)});
    }
    return true;
  }
  for (PassedDescriptor& descriptor : passed) {
    if (!descriptor.name.starts_with(kStorePrefix)) {
      kept_.push_back(
          {.name = std::string(kListenerName), .value = {}, .fd = std::move(descriptor.fd)});
      break;
    }
  }
  return false;
}

StatusOr<std::vector<Kept>> Keeper::CopyKept() const {
  std::vector<Kept> copies;
  for (const Kept& kept : kept_) {
    ASSIGN_OR_RETURN(UniqueFd copy, CopyFd(kept.fd.get()));
    copies.push_back({.name = kept.name, .value = kept.value, .fd = std::move(copy)});
  }
  return copies;
}

/// Runs `program` with our arguments and one more, which names the state file.
StatusOr<pid_t> Keeper::Execute(const char* program, std::string_view option,
                                std::vector<Kept> inherited, bool is_server) {
  ASSIGN_OR_RETURN(const UniqueFd state, WriteState(inherited));
  std::vector<std::string> arguments = arguments_;
  arguments.push_back(fmt::format("{}={}", option, state.get()));
  const std::vector<char*> pointers = PointersTo(arguments);
  const pid_t pid = ::fork();
  if (pid < 0) {
    return ErrnoError(errno, "fork");
  }
  if (pid > 0) {
    return pid;
  }
  if (is_server) {
    ::setpgid(0, 0);  // what a terminal sends is for the keeper alone
  }
  for (const Kept& kept : inherited) {
    (void)SetInherited(kept.fd.get(), true);
  }
  (void)SetInherited(state.get(), true);
  // A server that is told to stop before it listens to signals hears of it afterwards.
  sigset_t blocked = WatchedSignals();
  is_server ? sigdelset(&blocked, SIGCHLD) : sigemptyset(&blocked);
  ::sigprocmask(SIG_SETMASK, &blocked, nullptr);
  ::execv(program, pointers.data());
  ::_exit(kExecFailed);
}

StatusOr<pid_t> Keeper::StartServer() {
  ASSIGN_OR_RETURN(auto ends, Channel::MakePair());
  ASSIGN_OR_RETURN(std::vector<Kept> inherited, CopyKept());
  inherited.push_back({.name = std::string(kChannelName), .value = {}, .fd = ends.second.TakeFd()});
  // This very program, whatever lies at its path now: only OnReload changes it.
  ASSIGN_OR_RETURN(const pid_t server,
                   Execute(kThisProgram, kServerOption, std::move(inherited), true));
  channel_ = std::move(ends.first);
  return server;
}

Status Keeper::CheckSuccessor() {
  ASSIGN_OR_RETURN(std::vector<Kept> inherited, CopyKept());
  ASSIGN_OR_RETURN(const pid_t checker,
                   Execute(program_.c_str(), kCheckOption, std::move(inherited), false));
  const UniqueFd ended = OpenPid(checker);
  pollfd watched{.fd = ended.get(), .events = POLLIN, .revents = 0};
  if (!ended.valid() || ::poll(&watched, 1, kCheckPatienceMs) != 1) {
    ::kill(checker, SIGKILL);
  }
  int status = 0;
  while (::waitpid(checker, &status, 0) < 0 && errno == EINTR) {
  }
  if (!WIFEXITED(status) || WEXITSTATUS(status) != 0) {
    return MakeError(
        StatusCode::kFailedPrecondition,
        fmt::format("{} refuses what is kept here: {}", program_, EndOf(status).description));
  }
  return OkStatus();
}

Status Keeper::Become() {
  ASSIGN_OR_RETURN(std::vector<Kept> inherited, CopyKept());
  if (const auto server = supervisor_.server()) {
    ASSIGN_OR_RETURN(UniqueFd channel, CopyFd(channel_.fd()));
    inherited.push_back({.name = std::string(kServerName),
                         .value = ToBytes(std::to_string(*server)),
                         .fd = std::move(channel)});
  }
  ASSIGN_OR_RETURN(const UniqueFd state, WriteState(inherited));
  for (const Kept& kept : inherited) {
    RETURN_IF_ERROR(SetInherited(kept.fd.get(), true));
  }
  RETURN_IF_ERROR(SetInherited(state.get(), true));
  std::vector<std::string> arguments = arguments_;
  arguments.push_back(fmt::format("{}={}", kResumeOption, state.get()));
  const std::vector<char*> pointers = PointersTo(arguments);
  ::execv(program_.c_str(), pointers.data());
  return ErrnoError(errno, fmt::format("execute {}", program_));
}

void Keeper::Wait() {
  pollfd watched[] = {{.fd = signals_.get(), .events = POLLIN, .revents = 0},
                      {.fd = channel_.fd(), .events = POLLIN, .revents = 0}};
  auto timeout = kLookAtServer;
  const auto deadline = supervisor_.deadline();
  if (deadline) {
    const auto left = std::chrono::ceil<std::chrono::milliseconds>(*deadline - SystemClock().Now());
    timeout = std::clamp(left, std::chrono::milliseconds(0), timeout);
  }
  const int ready = ::poll(watched, std::size(watched), static_cast<int>(timeout.count()));
  if (ready == 0) {
    const auto server = supervisor_.server();
    if (deadline && SystemClock().Now() >= *deadline) {
      supervisor_.OnTime();
    } else if (server && IsMainThreadDead(*server)) {
      OnMainThreadEnded();
    }
  }
  if (ready <= 0) {
    return;
  }
  // What the server said before it ended comes first.
  if (watched[1].revents != 0) {
    OnMessage();
  } else if (watched[0].revents != 0) {
    OnSignals();
  }
}

void Keeper::OnMessage() {
  StatusOr<Channel::Message> message = channel_.Receive();
  if (!message.ok()) {
    log::Error("the server is not understood", {{"error", Describe(message.status())}});
    channel_ = Channel(UniqueFd());
    return;
  }
  switch (message->kind) {
    case Channel::Message::Kind::kKept:
      kept_ = std::move(message->kept);
      Store();
      return;
    case Channel::Message::Kind::kReady:
      supervisor_.OnReady();
      return;
    case Channel::Message::Kind::kEnd:
      channel_ = Channel(UniqueFd());
      return;
  }
}

/// With the service manager, for the case that this process dies.
void Keeper::Store() {
  const StatusOr<UniqueFd> state = WriteState(kept_);
  if (!state.ok()) {
    log::Error("the kept state cannot be written", {{"error", Describe(state.status())}});
    return;
  }
  // Without a state the rest is not used, so it goes first and comes last.
  NotifyOrWarn(fmt::format("FDSTOREREMOVE=1\nFDNAME={}", kStateName));
  for (const Kept& kept : kept_) {
    const int fd = kept.fd.get();
    NotifyOrWarn(fmt::format("FDSTOREREMOVE=1\nFDNAME={}{}", kStorePrefix, kept.name));
    NotifyOrWarn(fmt::format("FDSTORE=1\nFDNAME={}{}", kStorePrefix, kept.name), std::span(&fd, 1));
  }
  const int fd = state->get();
  NotifyOrWarn(fmt::format("FDSTORE=1\nFDNAME={}", kStateName), std::span(&fd, 1));
}

void Keeper::OnSignals() {
  signalfd_siginfo info{};
  if (::read(signals_.get(), &info, sizeof info) != sizeof info) {
    return;
  }
  switch (info.ssi_signo) {
    case SIGCHLD:
      Reap();
      return;
    case SIGHUP:
      supervisor_.OnReload();
      return;
    default:
      supervisor_.OnStop();
  }
}

/// Takes the ends of all children that have ended. Ids of those that have not are never used again.
void Keeper::Reap() {
  int status = 0;
  for (pid_t pid = 0; (pid = ::waitpid(-1, &status, WNOHANG)) > 0;) {
    if (pid == supervisor_.server()) {
      Ended(EndOf(status));
    }
  }
}

/// A killed server whose thread waits for an answer of its own mounts ends only when the next
/// server has given it; the main thread never waits so.
void Keeper::OnMainThreadEnded() {
  const std::optional<pid_t> server = supervisor_.server();
  const UniqueFd whole = OpenPid(*server);
  pollfd watched{.fd = whole.get(), .events = POLLIN, .revents = 0};
  ::poll(&watched, 1, kLastThreadsMs);
  Reap();
  if (supervisor_.server() == server) {
    log::Warning("a thread of the dead server waits for the next one",
                 {{"server", std::to_string(*server)}});
    Ended({.exit_code = std::nullopt, .description = "main thread ended"});
  }
}

void Keeper::Ended(const ServerEnd& end) {
  // Its last words.
  pollfd watched{.fd = channel_.fd(), .events = POLLIN, .revents = 0};
  while (channel_.fd() >= 0 && ::poll(&watched, 1, 0) == 1 && (watched.revents & POLLIN) != 0) {
    OnMessage();
    watched.fd = channel_.fd();
  }
  channel_ = Channel(UniqueFd());
  supervisor_.OnServerEnded(end);
}

}  // namespace

StatusOr<int> RunKeeper(KeeperOptions options) { return Keeper(std::move(options)).Run(); }

}  // namespace starling::keeper
