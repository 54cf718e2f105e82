// starlingd: the snapshotter daemon. Exit codes: 0 stopped by a signal, 1 cannot run, 2 wrong
// usage.
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

#include "apps/starlingd/daemon.h"
#include "base/file_system.h"
#include "base/log.h"
#include "config/settings.h"
#include "snapshotter/unix_listener.h"

namespace starling {
namespace {

constexpr int kExitFailure = 1;
constexpr int kExitUsage = 2;
constexpr const char* kDefaultConfig = "/etc/starling/config.toml";
constexpr uint64_t kMaxConfigBytes = 1 << 20;

/// What the command line says; none: the configuration decides.
struct Arguments {
  std::optional<std::string> config;
  std::optional<std::string> address;
  std::optional<std::string> root;
  std::optional<std::string> log_level;
};

/// The arguments, or the exit code after help, version or a mistake was printed.
std::pair<Arguments, std::optional<int>> ParseArguments(int argc, char** argv) {
  Arguments arguments;
  CLI::App app(
      "Shows the layers of container images while they are still in the registry: a "
      "remote snapshotter for containerd.",
      "starlingd");
  app.set_version_flag("--version,-v", "starlingd " STARLING_VERSION);
  app.add_option("--config", arguments.config,
                 std::string("configuration file (default ") + kDefaultConfig + ", if it exists)");
  app.add_option("--address", arguments.address,
                 "unix socket to serve on (default " + config::Settings().address + ")");
  app.add_option("--root", arguments.root,
                 "directory for everything kept (default " + config::Settings().root + ")");
  app.add_option("--log-level", arguments.log_level,
                 "trace, debug, info, warn, error or fatal (default info)");
  try {
    app.parse(argc, argv);
  } catch (const CLI::ParseError& error) {
    return {std::move(arguments), app.exit(error) == 0 ? 0 : kExitUsage};
  }
  return {std::move(arguments), std::nullopt};
}

/// The file's settings with the command line's on top. A default file may be missing.
StatusOr<config::ParsedSettings> LoadSettings(const Arguments& arguments) {
  const std::string file = arguments.config.value_or(kDefaultConfig);
  config::ParsedSettings parsed;
  const StatusOr<Bytes> text = ReadFile(RealFileSystem(), file, kMaxConfigBytes);
  if (text.ok()) {
    ASSIGN_OR_RETURN(parsed, config::ParseSettings(AsText(*text), file));
  } else if (arguments.config.has_value() || text.status().code() != StatusCode::kNotFound) {
    return Annotate(text.status(), "configuration");
  }
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

sigset_t StopSignals() {
  sigset_t signals;
  sigemptyset(&signals);
  sigaddset(&signals, SIGTERM);
  sigaddset(&signals, SIGINT);
  return signals;
}

// Returns at the first SIGTERM or SIGINT; a second one ends the process at once.
void WaitForStopSignal() {
  const sigset_t signals = StopSignals();
  int received = 0;
  while (sigwait(&signals, &received) != 0) {
  }
  pthread_sigmask(SIG_UNBLOCK, &signals, nullptr);
}

int Fail(const Status& status) {
  std::fprintf(stderr, "starlingd: %s\n", std::string(MessageOf(status)).c_str());
  return kExitFailure;
}

int Main(int argc, char** argv) {
  const auto [arguments, exit_code] = ParseArguments(argc, argv);
  if (exit_code.has_value()) {
    return *exit_code;
  }
  const StatusOr<config::ParsedSettings> parsed = LoadSettings(arguments);
  if (!parsed.ok()) {
    return Fail(parsed.status());
  }
  if (::geteuid() != 0) {
    return Fail(MakeError(StatusCode::kFailedPrecondition, "must run as root, to mount"));
  }
  log::SetLevel(parsed->settings.log_level);
  for (const std::string& warning : parsed->warnings) {
    log::Warning(warning);
  }
  SetProcessLimits();
  // Before any thread starts, so that all of them leave the signals to WaitForStopSignal.
  const sigset_t signals = StopSignals();
  pthread_sigmask(SIG_BLOCK, &signals, nullptr);
  ::signal(SIGPIPE, SIG_IGN);
  StatusOr<std::optional<snapshotter::UnixListener>> inherited =
      snapshotter::UnixListener::Inherit();
  if (!inherited.ok()) {
    return Fail(inherited.status());
  }
  const Status run = RunDaemon(parsed->settings, *std::move(inherited), WaitForStopSignal);
  return run.ok() ? 0 : Fail(run);
}

}  // namespace
}  // namespace starling

int main(int argc, char** argv) { return starling::Main(argc, argv); }
