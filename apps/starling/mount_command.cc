#include <fcntl.h>
#include <pthread.h>
#include <signal.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cerrno>
#include <chrono>
#include <cstdio>
#include <map>
#include <memory>
#include <optional>
#include <string>

#include "apps/starling/commands.h"
#include "apps/starling/toolbox.h"
#include "base/io.h"
#include "base/pipe.h"
#include "control/cache_service.h"
#include "control/status_service.h"
#include "mount/image_mount.h"
#include "mount/mount_record.h"
#include "oci/digest.h"
#include "snapshotter/grpc_server.h"

namespace starling::cli {
namespace {

constexpr const char* kProfiles = "/var/lib/starling/profiles";  // starlingd's, by default
constexpr const char* kGzipIndexes = "/var/lib/starling/gzip-indexes";
constexpr const char* kRecordDirectory = "/run/starling/mounts";
constexpr std::chrono::seconds kUmountTimeout(30);
// What the serving process writes to its parent when the image can be read.
constexpr std::string_view kReady = "ready";
constexpr uint64_t kMaxReportBytes = 64 << 10;

struct MountArguments {
  std::string image;
  std::string directory;
  std::string root;  // empty: one below kDefaultRoot for each directory
  std::string platform;
  std::string gzip_indexes = kGzipIndexes;
  mount::DataPlane data_plane = mount::DataPlane::kAuto;
  bool foreground = false;
  bool fetch_all = false;
  RegistryOptions registries;
};

sigset_t StopSignals() {
  sigset_t signals;
  sigemptyset(&signals);
  sigaddset(&signals, SIGTERM);
  sigaddset(&signals, SIGINT);
  return signals;
}

StatusOr<std::string> ExistingDirectory(const std::string& path) {
  std::error_code error;
  const std::filesystem::path directory = std::filesystem::canonical(path, error);
  if (error) {
    return ErrnoError(error.value(), path);
  }
  if (!std::filesystem::is_directory(directory, error)) {
    return MakeError(StatusCode::kInvalidArgument, fmt::format("{} is no directory", path));
  }
  return directory.string();
}

std::filesystem::path RootOf(const MountArguments& arguments, const std::string& directory) {
  return arguments.root.empty() ? MountRootOf(directory) : std::filesystem::path(arguments.root);
}

/// Shows the image until a stop signal; calls `ready` once it can be read.
Status Serve(const MountArguments& arguments, const std::function<void()>& ready) {
  const sigset_t signals = StopSignals();
  // Before any thread starts, so that all of them leave these signals to sigwait.
  pthread_sigmask(SIG_BLOCK, &signals, nullptr);
  ASSIGN_OR_RETURN(const std::string directory, ExistingDirectory(arguments.directory));
  ASSIGN_OR_RETURN(const oci::Platform platform,
                   arguments.platform.empty() ? StatusOr<oci::Platform>(oci::Platform::Host())
                                              : oci::Platform::Parse(arguments.platform));
  mount::MountRecords records(kRecordDirectory, RealFileSystem());
  RETURN_IF_ERROR(records.Add(directory, std::filesystem::absolute(RootOf(arguments, directory))));
  const auto serve = [&]() -> Status {
    ASSIGN_OR_RETURN(const auto toolbox, Toolbox::Make(arguments.registries, arguments.image));
    ASSIGN_OR_RETURN(std::shared_ptr<oci::ImageSource> source,
                     toolbox->OpenSource(arguments.image));
    ASSIGN_OR_RETURN(
        const std::unique_ptr<mount::ImageMount> shown,
        mount::ImageMount::Start(
            {.root = RootOf(arguments, directory),
             .directory = directory,
             .platform = platform,
             .fetch = {.background = arguments.fetch_all},
             .profiles = kProfiles,
             .gzip_indexes = arguments.gzip_indexes,
             .data_plane = arguments.data_plane,
             .open_image =
                 [&toolbox](const std::string& name) { return toolbox->OpenSource(name); },
             .blob_places =
                 [&toolbox](const std::string& name) { return toolbox->BlobPlaces(name); }},
            std::move(source), RealFileSystem()));
    control::CacheService cache_service(shown->cache());
    control::StatusService status_service(shown->status());
    ASSIGN_OR_RETURN(
        snapshotter::UnixListener listener,
        snapshotter::UnixListener::Bind(RootOf(arguments, directory) / kMountSocketName));
    ASSIGN_OR_RETURN(
        const std::unique_ptr<snapshotter::GrpcServer> server,
        snapshotter::GrpcServer::Start({}, std::move(listener), {&cache_service, &status_service}));
    ready();
    int received = 0;
    while (sigwait(&signals, &received) != 0) {
    }
    return OkStatus();
  };
  const Status served = serve();
  const Status forgotten = records.Remove(directory);
  return served.ok() ? forgotten : served;
}

/// The child's life: reports through `report_fd`, then serves with no terminal.
[[noreturn]] void ServeInBackground(const MountArguments& arguments, UniqueFd report_fd) {
  ::setsid();
  bool reported = false;
  const auto report = [&](std::string_view text) {
    FdSink sink(report_fd.get());
    (void)sink.Write(AsBytes(text));
    report_fd.Reset();
    reported = true;
  };
  const Status served = Serve(arguments, [&] {
    report(kReady);
    // The terminal is the parent's; messages after this have nobody to read them.
    const int null = ::open("/dev/null", O_RDWR | O_CLOEXEC);
    for (const int standard : {STDIN_FILENO, STDOUT_FILENO, STDERR_FILENO}) {
      ::dup2(null, standard);
    }
    // The directory that it was started in should not stay busy; if it does, all works the same.
    [[maybe_unused]] const int moved = ::chdir("/");
  });
  if (!reported && !served.ok()) {
    // The code travels as one byte in front of the message.
    report(std::string(1, static_cast<char>(served.code())) + std::string(MessageOf(served)));
  }
  ::_exit(served.ok() ? 0 : 1);
}

Status Mount(MountArguments arguments) {
  if (arguments.foreground) {
    return Serve(arguments, [] {});
  }
  ASSIGN_OR_RETURN(Pipe pipe, MakePipe());
  // Forked before any thread exists.
  const pid_t child = ::fork();
  if (child < 0) {
    return ErrnoError(errno, "fork");
  }
  if (child == 0) {
    pipe.read_end.Reset();
    ServeInBackground(arguments, std::move(pipe.write_end));
  }
  pipe.write_end.Reset();
  FdSource source(pipe.read_end.get());
  ASSIGN_OR_RETURN(const Bytes report, ReadAll(source, kMaxReportBytes));
  if (AsText(report) == kReady) {
    return OkStatus();
  }
  ::waitpid(child, nullptr, 0);
  if (report.empty()) {
    return MakeError(StatusCode::kInternal, "the serving process ended without a word");
  }
  return MakeError(static_cast<StatusCode>(report.front()), AsText(report).substr(1));
}

Status Umount(const std::string& directory) {
  std::error_code error;
  std::filesystem::path path = std::filesystem::canonical(directory, error);
  if (error) {
    // The directory may be unreachable because its server is gone.
    path = std::filesystem::absolute(directory).lexically_normal();
  }
  mount::MountRecords records(kRecordDirectory, RealFileSystem());
  return records.Stop(path, kUmountTimeout);
}

}  // namespace

std::filesystem::path MountRootOf(const std::filesystem::path& directory) {
  return std::filesystem::path("/var/lib/starling/mount") /
         oci::Digest::Of(AsBytes(directory.native())).Hex().substr(0, 16);
}

StatusOr<std::filesystem::path> FindMountRoot(const std::string& directory) {
  std::error_code error;
  const std::filesystem::path path = std::filesystem::weakly_canonical(directory, error);
  if (error) {
    return ErrnoError(error.value(), directory);
  }
  return MountRootOf(path);
}

void AddMount(CLI::App& app, Run& chosen) {
  auto arguments = std::make_shared<MountArguments>();
  CLI::App& command = *app.add_subcommand(
      "mount", "Show an image's files at a directory; bytes arrive as they are read");
  command.add_option("IMAGE", arguments->image)->required();
  command.add_option("DIRECTORY", arguments->directory)->required();
  command
      .add_option("--root", arguments->root, "Where the image's data is kept; one mount at a time")
      ->capture_default_str();
  command.add_option("--platform", arguments->platform, "Of an index, such as linux/arm64");
  command
      .add_option(
          "--gzip-indexes", arguments->gzip_indexes,
          "What `starling index` keeps: it makes plain gzip layers readable in parts, and is "
          "trusted")
      ->capture_default_str();
  command
      .add_option("--data-plane", arguments->data_plane,
                  "How layers are shown: auto, tree (FUSE alone) or erofs")
      ->envname("STARLING_DATA_PLANE")
      ->transform(CLI::CheckedTransformer(
          std::map<std::string, mount::DataPlane>{{"auto", mount::DataPlane::kAuto},
                                                  {"tree", mount::DataPlane::kTree},
                                                  {"erofs", mount::DataPlane::kErofs}}))
      ->default_str("auto");
  command.add_flag("--foreground", arguments->foreground, "Serve from this process, until SIGTERM");
  command.add_flag("--fetch-all", arguments->fetch_all,
                   "Also fetch what nobody reads, while the link has nothing else to do");
  AddRegistryOptions(command, arguments->registries);
  command.footer("Example: starling mount ghcr.io/me/app:1-esgz /mnt/app");
  command.callback([arguments, &chosen] { chosen = [arguments] { return Mount(*arguments); }; });
}

void AddUmount(CLI::App& app, Run& chosen) {
  auto directory = std::make_shared<std::string>();
  CLI::App& command = *app.add_subcommand("umount", "End what `starling mount` began");
  command.add_option("DIRECTORY", *directory)->required();
  command.footer("Example: starling umount /mnt/app");
  command.callback([directory, &chosen] { chosen = [directory] { return Umount(*directory); }; });
}

}  // namespace starling::cli
