#include "runc/runner.h"

#include <linux/capability.h>
#include <signal.h>
#include <sys/eventfd.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <array>
#include <cerrno>
#include <nlohmann/json.hpp>
#include <vector>

#include "base/file_system.h"
#include "base/io.h"
#include "base/log.h"
#include "base/pipe.h"
#include "base/poll.h"
#include "base/text.h"
#include "base/unique_fd.h"
#include "runc/saved_terminal.h"

namespace starling::runc {
namespace {

constexpr uint64_t kMaxLogBytes = 1 << 20;
constexpr uint64_t kMaxAnswerBytes = 16 << 20;
constexpr size_t kPieceBytes = 64 << 10;

/// Becomes readable once a stop is asked for.
class StopEvent {
 public:
  explicit StopEvent(const std::stop_token& stop)
      : event_(::eventfd(0, EFD_CLOEXEC)), callback_(stop, [this] { ::eventfd_write(fd(), 1); }) {}
  int fd() const { return event_.get(); }

 private:
  UniqueFd event_;
  std::stop_callback<std::function<void()>> callback_;
};

/// Hands on what comes from `from` until both ends are closed. False when a stop came first.
StatusOr<bool> HandOn(std::array<UniqueFd, 2> from, const StopEvent& stop,
                      const OnOutput& on_output) {
  std::string piece(kPieceBytes, '\0');
  while (from[0].valid() || from[1].valid()) {
    // A negative descriptor is left out.
    std::array<pollfd, 3> entries = {{{.fd = from[0].get(), .events = POLLIN, .revents = 0},
                                      {.fd = from[1].get(), .events = POLLIN, .revents = 0},
                                      {.fd = stop.fd(), .events = POLLIN, .revents = 0}}};
    RETURN_IF_ERROR(PollUntil(entries).status());
    if (entries[2].revents != 0) {
      return false;
    }
    for (size_t i = 0; i < from.size(); ++i) {
      if (entries[i].revents == 0) {
        continue;
      }
      const ssize_t size = ::read(from[i].get(), piece.data(), piece.size());
      if (size > 0) {
        on_output(i == 0 ? Stream::kOutput : Stream::kError,
                  std::string_view(piece).substr(0, static_cast<size_t>(size)));
      } else if (size == 0 || errno != EINTR) {
        from[i].Reset();
      }
    }
  }
  return true;
}

std::filesystem::path LogIn(const std::filesystem::path& bundle) { return bundle / "log.json"; }

/// The last error in runc's log, or nothing.
std::string ErrorIn(const std::filesystem::path& log) {
  const auto bytes = ReadFile(RealFileSystem(), log, kMaxLogBytes);
  if (!bytes.ok()) {
    return "";
  }
  std::string last;
  for (std::string_view left = AsText(*bytes); !left.empty();) {
    const std::string_view line = TakeLine(left);
    const auto entry = nlohmann::json::parse(line, nullptr, false);
    if (entry.is_object() && entry.value("level", "") == "error") {
      last = entry.value("msg", "");
    }
  }
  return last;
}

/// What this thread may give to others.
StatusOr<uint64_t> OwnCapabilities() {
  __user_cap_header_struct header{.version = _LINUX_CAPABILITY_VERSION_3, .pid = 0};
  std::array<__user_cap_data_struct, _LINUX_CAPABILITY_U32S_3> words{};
  if (::syscall(SYS_capget, &header, words.data()) != 0) {
    return ErrnoError(errno, "capget");
  }
  return uint64_t{words[1].permitted} << 32 | words[0].permitted;
}

/// Removes a container's bundle when it ends.
class Bundle {
 public:
  explicit Bundle(std::filesystem::path path) : path_(std::move(path)) {}
  Bundle(const Bundle&) = delete;
  Bundle& operator=(const Bundle&) = delete;
  ~Bundle() {
    std::error_code ignored;
    std::filesystem::remove_all(path_, ignored);
  }
  Status Make(const ContainerSpec& spec) {
    RETURN_IF_ERROR(MakeDirectories(path_, 0700));
    ASSIGN_OR_RETURN(const uint64_t capabilities, OwnCapabilities());
    ASSIGN_OR_RETURN(const std::string config, MakeConfig(spec, capabilities));
    return WriteFileAtomically(RealFileSystem(), path_ / "config.json", AsBytes(config), 0600);
  }

 private:
  const std::filesystem::path path_;
};

}  // namespace

std::filesystem::path Runner::BundleOf(const std::string& id) const {
  return options_.state_directory / "bundles" / id;
}

std::vector<std::string> Runner::RunArguments(const std::string& id) const {
  return {"--root",       options_.state_directory / "containers",
          "--log",        LogIn(BundleOf(id)),
          "--log-format", "json",
          "run",          "--bundle",
          BundleOf(id),   id};
}

StatusOr<int> Runner::Run(const std::string& id, const ContainerSpec& spec,
                          const OnOutput& on_output, const std::stop_token& stop) const {
  Bundle bundle(BundleOf(id));
  RETURN_IF_ERROR(bundle.Make(spec));
  ASSIGN_OR_RETURN(Pipe output, MakePipe());
  ASSIGN_OR_RETURN(Pipe error, MakePipe());
  const StopEvent stopped(stop);
  ASSIGN_OR_RETURN(ChildProgram child, ChildProgram::Start({.program = options_.program,
                                                            .arguments = RunArguments(id),
                                                            .environment = {},
                                                            .output = output.write_end.get(),
                                                            .error = error.write_end.get()}));
  output.write_end.Reset();
  error.write_end.Reset();
  const auto ended =
      HandOn({std::move(output.read_end), std::move(error.read_end)}, stopped, on_output);
  if (!ended.ok() || !*ended) {
    child.Signal(SIGKILL);
    child.Wait();
    Delete(id);
    return ended.ok() ? MakeError(StatusCode::kCancelled, "stopped") : ended.status();
  }
  return StatusAtEnd(id, *child.Wait());
}

StatusOr<int> Runner::RunOnTerminal(const std::string& id, ContainerSpec spec, int terminal,
                                    const std::stop_token& stop) const {
  spec.terminal = true;
  Bundle bundle(BundleOf(id));
  RETURN_IF_ERROR(bundle.Make(spec));
  // runc makes the terminal raw, and follows its size, as long as it has it.
  ASSIGN_OR_RETURN(const SavedTerminal saved, SavedTerminal::Save(terminal));
  ASSIGN_OR_RETURN(ChildProgram child, ChildProgram::Start({.program = options_.program,
                                                            .arguments = RunArguments(id),
                                                            .environment = {},
                                                            .input = terminal,
                                                            .output = terminal,
                                                            .error = terminal,
                                                            .takes_terminal = true}));
  std::optional<ChildProgram::End> end;
  {
    const std::stop_callback killed(stop, [&child] { child.Signal(SIGKILL); });
    end = child.Wait();
  }
  if (stop.stop_requested()) {
    Delete(id);
    return MakeError(StatusCode::kCancelled, "stopped");
  }
  return StatusAtEnd(id, *end);
}

/// What the end of runc says about the command that it ran.
StatusOr<int> Runner::StatusAtEnd(const std::string& id, const ChildProgram::End& end) const {
  if (end.signal != 0) {
    Delete(id);
    return MakeError(StatusCode::kAborted,
                     fmt::format("{} was ended by signal {}", options_.program, end.signal));
  }
  if (const std::string reason = end.exit_status == 0 ? "" : ErrorIn(LogIn(BundleOf(id)));
      !reason.empty()) {
    Delete(id);
    return MakeError(StatusCode::kFailedPrecondition,
                     fmt::format("{}: {}", options_.program, reason));
  }
  return end.exit_status;
}

Status Runner::RemoveLeftovers() const {
  if (!std::filesystem::exists(options_.state_directory / "containers")) {
    return OkStatus();
  }
  ASSIGN_OR_RETURN(const std::string list, Ask({"list", "--quiet"}));
  for (std::string_view left = list; !left.empty();) {
    const std::string_view id = TakeLine(left);
    log::Warning("a container of a build that did not end is removed", {{"id", std::string(id)}});
    Delete(std::string(id));
  }
  std::error_code error;
  std::filesystem::remove_all(options_.state_directory / "bundles", error);
  return error ? ErrnoError(error.value(), options_.state_directory.native()) : OkStatus();
}

/// What runc answers, if it succeeds.
StatusOr<std::string> Runner::Ask(const std::vector<std::string>& arguments) const {
  ASSIGN_OR_RETURN(Pipe output, MakePipe());
  std::vector<std::string> all = {"--root", options_.state_directory / "containers"};
  all.insert(all.end(), arguments.begin(), arguments.end());
  ASSIGN_OR_RETURN(ChildProgram child, ChildProgram::Start({.program = options_.program,
                                                            .arguments = std::move(all),
                                                            .environment = {},
                                                            .output = output.write_end.get()}));
  output.write_end.Reset();
  FdSource source(output.read_end.get());
  ASSIGN_OR_RETURN(const Bytes answer, ReadAll(source, kMaxAnswerBytes));
  if (child.Wait()->exit_status != 0) {
    return MakeError(StatusCode::kInternal,
                     fmt::format("{} {} failed", options_.program, arguments.front()));
  }
  return std::string(AsText(answer));
}

/// Ends the container, if there is one, and removes it.
void Runner::Delete(const std::string& id) const {
  if (const auto answer = Ask({"delete", "--force", id}); !answer.ok()) {
    log::Warning("a container could not be removed",
                 {{"id", id}, {"error", Describe(answer.status())}});
  }
}

}  // namespace starling::runc
