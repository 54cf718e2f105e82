// starlingd: the snapshotter daemon, in two roles: the keeper, and the server that it starts. Exit
// codes: 0 stopped by a signal, 1 cannot run, 2 wrong usage.
#include <pthread.h>
#include <signal.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <unistd.h>

#include <CLI/CLI.hpp>
#include <cstdio>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "apps/starlingd/daemon.h"
#include "base/file_system.h"
#include "base/log.h"
#include "config/settings.h"
#include "confine/system_calls.h"
#include "keeper/descriptors.h"
#include "keeper/keeper.h"
#include "manual/man_page.h"

namespace starling {
namespace {

constexpr int kExitFailure = 1;
constexpr int kExitUsage = 2;

/// What the command line says; none: the configuration decides.
struct Arguments {
  std::optional<std::string> config;
  std::optional<std::string> address;
  std::optional<std::string> root;
  std::optional<std::string> log_level;
  // Of the keeper, for what it executes: descriptors of state files.
  int server_state = -1;
  int check_state = -1;
  int resume_state = -1;
};

/// The arguments, or the exit code after help, version or a mistake was printed.
std::pair<Arguments, std::optional<int>> ParseArguments(int argc, char** argv) {
  Arguments arguments;
  CLI::App app(
      "Shows the layers of container images while they are still in the registry: a "
      "remote snapshotter for containerd.",
      "starlingd");
  app.footer(
      "It is told what to do by containerd, and by starling(1) on the same socket; its "
      "configuration is\n"
      "/etc/starling/config.toml. SIGHUP has the program on the disk take over, SIGTERM unmounts "
      "and ends.\n"
      "Example: starlingd --config /etc/starling/config.toml --log-level debug");
  app.set_version_flag("--version,-v", "starlingd " STARLING_VERSION);
  app.add_option(
      "--config", arguments.config,
      fmt::format("configuration file (default {}, if it exists)", config::kDefaultFile));
  app.add_option("--address", arguments.address,
                 "unix socket to serve on (default " + config::Settings().address + ")");
  app.add_option("--root", arguments.root,
                 "directory for everything kept (default " + config::Settings().root + ")");
  app.add_option("--log-level", arguments.log_level,
                 "trace, debug, info, warn, error or fatal (default info)");
  const auto add_role = [&app](std::string_view option, int& state) {
    app.add_option(std::string(option), state)->check(CLI::NonNegativeNumber)->group("");
  };
  add_role(keeper::kServerOption, arguments.server_state);
  add_role(keeper::kCheckOption, arguments.check_state);
  add_role(keeper::kResumeOption, arguments.resume_state);
  bool print_man_page = false;
  app.add_flag("--print-man-page", print_man_page)->group("");
  try {
    app.parse(argc, argv);
  } catch (const CLI::ParseError& error) {
    return {std::move(arguments), app.exit(error) == 0 ? 0 : kExitUsage};
  }
  if (print_man_page) {
    const std::string page = manual::ManPage(
        manual::DescribeCommand(app),
        {.section = 8, .version = "starlingd " STARLING_VERSION, .date = "", .above = ""});
    std::fputs(page.c_str(), stdout);
    return {std::move(arguments), 0};
  }
  return {std::move(arguments), std::nullopt};
}

/// The file's settings with the command line's on top.
StatusOr<config::ParsedSettings> LoadSettings(const Arguments& arguments) {
  ASSIGN_OR_RETURN(config::ParsedSettings parsed,
                   config::ReadSettings(RealFileSystem(), arguments.config));
  config::Settings& settings = parsed.settings;
  settings.address = arguments.address.value_or(settings.address);
  settings.root = arguments.root.value_or(settings.root);
  RETURN_IF_ERROR(config::CheckAbsolutePath("--address", settings.address));
  RETURN_IF_ERROR(config::CheckAbsolutePath("--root", settings.root));
  if (arguments.log_level.has_value()) {
    ASSIGN_OR_RETURN(settings.log_level, log::ParseLevel(*arguments.log_level));
  }
  return parsed;
}

// Memory holds credentials, so it is never dumped; many open files are normal here.
void SetProcessLimits() {
  ::prctl(PR_SET_DUMPABLE, 0);
  const rlimit no_core{.rlim_cur = 0, .rlim_max = 0};
  ::setrlimit(RLIMIT_CORE, &no_core);
  rlimit files{};
  if (::getrlimit(RLIMIT_NOFILE, &files) == 0) {
    files.rlim_cur = files.rlim_max;
    ::setrlimit(RLIMIT_NOFILE, &files);
  }
}

sigset_t EndSignals() {
  sigset_t signals;
  sigemptyset(&signals);
  sigaddset(&signals, SIGTERM);
  sigaddset(&signals, SIGINT);
  sigaddset(&signals, SIGHUP);
  return signals;
}

// Returns at the first SIGTERM, SIGINT or SIGHUP (to hand over); a second one ends the process at
// once.
EndOfService WaitForEnd() {
  const sigset_t signals = EndSignals();
  int received = 0;
  while (sigwait(&signals, &received) != 0) {
  }
  pthread_sigmask(SIG_UNBLOCK, &signals, nullptr);
  return received == SIGHUP ? EndOfService::kHandOver : EndOfService::kStop;
}

int Fail(const Status& status) {
  std::fprintf(stderr, "starlingd: %s\n", std::string(MessageOf(status)).c_str());
  return kExitFailure;
}

// Before anything from outside is read; what is executed later inherits it. The keeper, which
// starts the next server, has no limits.
void Confine(const config::Settings& settings) {
  if (!settings.limit_system_calls) {
    return;
  }
  if (const Status limited = confine::LimitSystemCalls(); !limited.ok()) {
    log::Warning("the server can use any system call", {{"error", Describe(limited)}});
  }
}

int RunServer(const config::Settings& settings, std::vector<keeper::Kept> kept) {
  ::prctl(PR_SET_NAME, "starlingd-serve");
  // Before any thread starts, so that all of them leave the signals to WaitForEnd.
  const sigset_t signals = EndSignals();
  pthread_sigmask(SIG_BLOCK, &signals, nullptr);
  keeper::Kept* entry = keeper::FindKept(kept, keeper::kChannelName);
  if (entry == nullptr) {
    return Fail(MakeError(StatusCode::kInvalidArgument, "no keeper has started this server"));
  }
  keeper::Channel channel(std::move(entry->fd));
  StatusOr<Takeover> takeover = TakeoverOf(std::move(kept), settings);
  if (!takeover.ok()) {
    return Fail(takeover.status());
  }
  Confine(settings);
  const Status run = RunDaemon(settings, *std::move(takeover), channel, WaitForEnd);
  return run.ok() ? 0 : Fail(run);
}

// Whether this program could take over from the one that left the state.
int CheckTakeover(const config::Settings& settings, std::vector<keeper::Kept> kept) {
  const Status status = TakeoverOf(std::move(kept), settings).status();
  return status.ok() ? 0 : Fail(status);
}

// The server, or what is asked of one before it is needed.
int ServerMain(const Arguments& arguments) {
  const bool checks = arguments.check_state >= 0;
  StatusOr<std::vector<keeper::Kept>> kept =
      keeper::TakeInherited(UniqueFd(checks ? arguments.check_state : arguments.server_state));
  if (!kept.ok()) {
    return Fail(kept.status());
  }
  const StatusOr<config::ParsedSettings> parsed = LoadSettings(arguments);
  if (!parsed.ok()) {
    return Fail(parsed.status());
  }
  if (checks) {
    return CheckTakeover(parsed->settings, *std::move(kept));
  }
  if (::geteuid() != 0) {
    return Fail(MakeError(StatusCode::kFailedPrecondition, "must run as root, to mount"));
  }
  log::SetLevel(parsed->settings.log_level);
  for (const std::string& warning : parsed->warnings) {
    log::Warning(warning);
  }
  return RunServer(parsed->settings, *std::move(kept));
}

int KeeperMain(const Arguments& arguments, int argc, char** argv) {
  keeper::KeeperOptions options{.arguments = {argv, argv + argc},
                                .resume = UniqueFd(arguments.resume_state)};
  std::erase_if(options.arguments, [](const std::string& argument) {
    return argument.starts_with(keeper::kResumeOption);
  });
  const StatusOr<int> exit_code = keeper::RunKeeper(std::move(options));
  return exit_code.ok() ? *exit_code : Fail(exit_code.status());
}

int Main(int argc, char** argv) {
  const auto [arguments, exit_code] = ParseArguments(argc, argv);
  if (exit_code.has_value()) {
    return *exit_code;
  }
  SetProcessLimits();
  ::signal(SIGPIPE, SIG_IGN);
  const bool is_server = arguments.server_state >= 0 || arguments.check_state >= 0;
  return is_server ? ServerMain(arguments) : KeeperMain(arguments, argc, argv);
}

}  // namespace
}  // namespace starling

int main(int argc, char** argv) { return starling::Main(argc, argv); }
