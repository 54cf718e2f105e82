#include "dockerfile/build/run_step.h"

#include <fcntl.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <cstdlib>
#include <utility>

#include "base/file_system.h"
#include "base/io.h"
#include "base/unique_fd.h"
#include "dockerfile/build/mount_points.h"
#include "dockerfile/build/snapshot_mount.h"
#include "dockerfile/build/socket_relay.h"
#include "dockerfile/files/copy.h"
#include "dockerfile/files/root_walk.h"
#include "dockerfile/files/users.h"
#include "dockerfile/syntax/values.h"

namespace starling::dockerfile::build {
namespace {

constexpr const char* kHostname = "buildkitsandbox";  // as BuildKit names it, which scripts know
constexpr uint64_t kMaxResolvConfBytes = 64 << 10;
constexpr const char* kDefaultResolvConf = "nameserver 8.8.8.8\nnameserver 8.8.4.4\n";
/// Where a secret appears that names no target.
constexpr const char* kSecretDirectory = "/run/secrets/";
/// What every image has that has any.
constexpr const char* kShell = "/bin/sh";
constexpr mode_t kSecretMode = 0400;
constexpr mode_t kSocketMode = 0600;
/// The names by which programs find certificates: OpenSSL, curl, Python's requests, pip, node, git.
constexpr std::array<const char*, 6> kCertificateVariables = {
    "SSL_CERT_FILE", "CURL_CA_BUNDLE",      "REQUESTS_CA_BUNDLE",
    "PIP_CERT",      "NODE_EXTRA_CA_CERTS", "GIT_SSL_CAINFO"};
/// Of a description: its devices need not be allowed by each build.
constexpr const char* kAllowAnnotation = "org.mobyproject.buildkit.device.autoallow";
constexpr const char* kCaBundleTarget = "/run/starling/ca-certificates.crt";

/// What a step's process does.
std::string CommandText(const std::vector<std::string>& arguments) {
  return fmt::format("{}", fmt::join(arguments, " "));
}

Status WriteFile(const std::filesystem::path& path, std::string_view content, mode_t mode) {
  ASSIGN_OR_RETURN(const UniqueFd fd,
                   RealFileSystem().Open(path, O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW, mode));
  RETURN_IF_ERROR(RealFileSystem().WriteAt(fd.get(), 0, AsBytes(content)));
  return ::fchmod(fd.get(), mode) == 0 ? OkStatus() : ErrnoError(errno, path.native());
}

Status SetOwner(const std::filesystem::path& path, uint32_t uid, uint32_t gid) {
  return ::lchown(path.c_str(), uid, gid) == 0 ? OkStatus() : ErrnoError(errno, path.native());
}

/// What a path in a tree is, found as if the tree were the root.
StatusOr<UniqueFd> OpenInTree(const std::filesystem::path& root, const std::string& path) {
  ASSIGN_OR_RETURN(const UniqueFd base, files::OpenRoot(root));
  auto found = files::OpenInRoot(base.get(), path, O_PATH);
  return found.ok() ? std::move(found)
                    : Annotate(found.status(), fmt::format("mount source {}", path));
}

std::filesystem::path StateOf(const std::filesystem::path& state_directory,
                              const std::string& build_id) {
  return state_directory / "runc" / build_id;
}

std::vector<std::string> Names(const std::vector<std::filesystem::path>& paths) {
  return {paths.begin(), paths.end()};
}

/// The device that a description means: what it leaves out is as on this machine.
StatusOr<runc::Device> DeviceOf(const cdi::DeviceNode& node, const runc::User& user) {
  runc::Device device{.path = node.path, .mode = node.mode, .uid = node.uid, .gid = node.gid};
  if (!node.access.empty()) {
    device.access = node.access;
  }
  if (!node.type.empty()) {
    device.type = node.type.front() == 'u' ? 'c' : node.type.front();
  }
  if (node.type.empty() || (device.type != 'p' && !(node.major && node.minor))) {
    const std::string& path = node.host_path.empty() ? node.path : node.host_path;
    struct stat attributes{};
    if (::stat(path.c_str(), &attributes) != 0) {
      return ErrnoError(errno, fmt::format("device {}", path));
    }
    const char type = S_ISCHR(attributes.st_mode)    ? 'c'
                      : S_ISBLK(attributes.st_mode)  ? 'b'
                      : S_ISFIFO(attributes.st_mode) ? 'p'
                                                     : '\0';
    if (type == '\0' || (!node.type.empty() && type != device.type)) {
      return MakeError(StatusCode::kFailedPrecondition,
                       fmt::format("device {}: it is not what its description says", path));
    }
    device.type = type;
    device.major = major(attributes.st_rdev);
    device.minor = minor(attributes.st_rdev);
  } else {
    device.major = node.major.value_or(0);
    device.minor = node.minor.value_or(0);
  }
  // A user other than root could not open it.
  if (!device.uid && user.uid > 0) {
    device.uid = user.uid;
  }
  if (!device.gid && user.gid > 0) {
    device.gid = user.gid;
  }
  return device;
}

Status Apply(const cdi::Edits& edits, runc::ContainerSpec& spec) {
  spec.environment.insert(spec.environment.end(), edits.environment.begin(),
                          edits.environment.end());
  for (const cdi::DeviceNode& node : edits.nodes) {
    ASSIGN_OR_RETURN(runc::Device device, DeviceOf(node, spec.user));
    spec.devices.push_back(std::move(device));
  }
  for (const cdi::Mount& mount : edits.mounts) {
    spec.mounts.push_back({.destination = mount.container_path,
                           .type = mount.type,
                           .source = mount.host_path,
                           .options = mount.options});
  }
  for (const cdi::Hook& hook : edits.hooks) {
    spec.hooks.push_back({.point = hook.name,
                          .path = hook.path,
                          .arguments = hook.arguments,
                          .environment = hook.environment,
                          .timeout_seconds = hook.timeout_seconds});
  }
  spec.user.additional_gids.insert(spec.user.additional_gids.end(), edits.additional_gids.begin(),
                                   edits.additional_gids.end());
  return OkStatus();
}

}  // namespace

/// What is mounted into one container. All of it is gone when this goes.
class RunSteps::Mounts {
 public:
  Mounts(std::filesystem::path directory, const Options& options, CacheMounts& caches,
         const std::stop_token& stop)
      : directory_(std::move(directory)), options_(options), caches_(caches), stop_(stop) {}
  Mounts(const Mounts&) = delete;
  Mounts& operator=(const Mounts&) = delete;
  ~Mounts() {
    for (auto path = mounted_.rbegin(); path != mounted_.rend(); ++path) {
      ::umount2(path->c_str(), MNT_DETACH | UMOUNT_NOFOLLOW);
    }
    std::error_code ignored;
    std::filesystem::remove_all(directory_, ignored);
  }

  Status Make() { return MakeDirectories(directory_, 0700); }

  Status AddNetworkFiles() {
    auto resolv = ReadFile(RealFileSystem(), "/etc/resolv.conf", kMaxResolvConfBytes);
    const std::string resolv_conf =
        resolv.ok() ? std::string(AsText(*resolv)) : std::string(kDefaultResolvConf);
    std::string hosts = fmt::format(
        "127.0.0.1\tlocalhost {}\n::1\tlocalhost ip6-localhost ip6-loopback\n", kHostname);
    for (const std::string& host : options_.settings.extra_hosts) {
      const size_t colon = host.find_first_of(":=");
      hosts += fmt::format("{}\t{}\n", host.substr(colon + 1), host.substr(0, colon));
    }
    RETURN_IF_ERROR(AddFile("/etc/resolv.conf", resolv_conf, 0644));
    return AddFile("/etc/hosts", hosts, 0644);
  }

  Status AddFile(const std::string& target, std::string_view content, mode_t mode) {
    const std::filesystem::path path = NewPath();
    RETURN_IF_ERROR(WriteFile(path, content, mode));
    Bind(path, target, {"ro", "nosuid", "nodev"});
    return OkStatus();
  }

  Status AddCaBundle(const std::filesystem::path& bundle) {
    const std::filesystem::path path = NewPath();
    std::error_code error;
    if (!std::filesystem::copy_file(bundle, path, error)) {
      return ErrnoError(error.value(), bundle.native());
    }
    if (::chmod(path.c_str(), 0644) != 0) {
      return ErrnoError(errno, path.native());
    }
    Bind(path, kCaBundleTarget, {"ro", "nosuid", "nodev"});
    for (const char* name : kCertificateVariables) {
      environment_.push_back(fmt::format("{}={}", name, kCaBundleTarget));
    }
    return OkStatus();
  }

  Status Add(const plan::RunMount& mount, const PathOf& path_of) {
    switch (mount.type) {
      case syntax::MountType::kBind:
        return AddBind(mount, path_of);
      case syntax::MountType::kCache:
        return AddCache(mount, path_of);
      case syntax::MountType::kTmpfs:
        return AddTmpfs(mount);
      case syntax::MountType::kSecret:
        return AddSecret(mount);
      case syntax::MountType::kSsh:
        return AddSsh(mount);
    }
    return OkStatus();
  }

  const std::vector<runc::Mount>& mounts() const { return mounts_; }
  const std::vector<std::string>& environment() const { return environment_; }

 private:
  std::filesystem::path NewPath() { return directory_ / fmt::format("{}", ++count_); }

  void Bind(const std::filesystem::path& source, const std::string& target,
            std::vector<std::string> options) {
    options.insert(options.begin(), "rbind");
    mounts_.push_back(
        {.destination = target, .type = "bind", .source = source, .options = std::move(options)});
  }

  /// `found`, at a path of ours that nothing in a step's tree can redirect.
  StatusOr<std::filesystem::path> Hold(const UniqueFd& found) {
    struct stat attributes{};
    if (::fstat(found.get(), &attributes) != 0) {
      return ErrnoError(errno, "mount source");
    }
    const std::filesystem::path path = NewPath();
    if (S_ISDIR(attributes.st_mode)) {
      RETURN_IF_ERROR(MakeDirectories(path, 0700));
    } else {
      RETURN_IF_ERROR(WriteFile(path, "", 0600));
    }
    const std::string source = fmt::format("/proc/self/fd/{}", found.get());
    if (::mount(source.c_str(), path.c_str(), nullptr, MS_BIND | MS_REC, nullptr) != 0) {
      return ErrnoError(errno, "mount source");
    }
    mounted_.push_back(path);
    return path;
  }

  /// A directory that takes writes in front of `lower`, for as long as the step.
  StatusOr<std::filesystem::path> Writable(const std::filesystem::path& lower) {
    const std::filesystem::path base = NewPath();
    const std::filesystem::path at = base / "merged";
    for (const char* name : {"upper", "work", "merged"}) {
      RETURN_IF_ERROR(MakeDirectories(base / name, 0755));
    }
    const std::string options = fmt::format("lowerdir={},upperdir={},workdir={}", lower.native(),
                                            (base / "upper").native(), (base / "work").native());
    if (::mount("starling", at.c_str(), "overlay", 0, options.c_str()) != 0) {
      return ErrnoError(errno, "a bind mount that can be written to");
    }
    mounted_.push_back(at);
    return at;
  }

  Status AddBind(const plan::RunMount& mount, const PathOf& path_of) {
    ASSIGN_OR_RETURN(const std::filesystem::path root, path_of(*mount.input));
    ASSIGN_OR_RETURN(const UniqueFd found, OpenInTree(root, mount.source));
    ASSIGN_OR_RETURN(std::filesystem::path source, Hold(found));
    if (mount.read_only) {
      Bind(source, mount.target, {"ro"});
      return OkStatus();
    }
    std::error_code error;
    if (std::filesystem::is_directory(source, error)) {
      ASSIGN_OR_RETURN(source, Writable(source));
    } else {
      const std::filesystem::path copy = NewPath();
      if (!std::filesystem::copy_file(source, copy, error)) {
        return ErrnoError(error.value(), mount.source);
      }
      source = copy;
    }
    Bind(source, mount.target, {"rw"});
    return OkStatus();
  }

  Status AddCache(const plan::RunMount& mount, const PathOf& path_of) {
    const auto fill = [&](const std::filesystem::path& directory) -> Status {
      bool is_filled = false;
      if (options_.fill_cache_mount) {
        ASSIGN_OR_RETURN(is_filled, options_.fill_cache_mount(mount.id, directory, stop_));
      }
      if (!is_filled && mount.input) {
        ASSIGN_OR_RETURN(const std::filesystem::path root, path_of(*mount.input));
        files::CopyRequest request;
        files::CopySource source;
        source.root = root;
        source.path =
            mount.source == "/" ? "" : mount.source.substr(mount.source.find_first_not_of('/'));
        request.sources = {source};
        request.destination = "/";
        RETURN_IF_ERROR(files::CopyFiles(request, directory, {}).status());
      }
      if (mount.mode && ::chmod(directory.c_str(), *mount.mode) != 0) {
        return ErrnoError(errno, directory.native());
      }
      if (mount.uid || mount.gid) {
        return SetOwner(directory, mount.uid.value_or(0), mount.gid.value_or(0));
      }
      return OkStatus();
    };
    ASSIGN_OR_RETURN(CacheMounts::Lease lease, caches_.Take(mount.id, mount.sharing, fill));
    Bind(lease.path(), mount.target, {mount.read_only ? "ro" : "rw"});
    leases_.push_back(std::move(lease));
    return OkStatus();
  }

  Status AddTmpfs(const plan::RunMount& mount) {
    std::vector<std::string> options = {"nosuid", "nodev", "mode=1777"};
    if (mount.size_bytes) {
      options.push_back(fmt::format("size={}", *mount.size_bytes));
    }
    mounts_.push_back({.destination = mount.target,
                       .type = "tmpfs",
                       .source = "tmpfs",
                       .options = std::move(options)});
    return OkStatus();
  }

  Status AddSecret(const plan::RunMount& mount) {
    const auto found = options_.settings.secrets.find(mount.id);
    if (found == options_.settings.secrets.end()) {
      return OkStatus();  // Check refused those that are required
    }
    if (!mount.variable.empty()) {
      environment_.push_back(fmt::format("{}={}", mount.variable, found->second));
    }
    if (mount.variable.empty() || !mount.target.empty()) {
      const std::filesystem::path path = NewPath();
      RETURN_IF_ERROR(WriteFile(path, found->second, mount.mode.value_or(kSecretMode)));
      RETURN_IF_ERROR(SetOwner(path, mount.uid.value_or(0), mount.gid.value_or(0)));
      Bind(path, mount.target.empty() ? kSecretDirectory + mount.id : mount.target,
           {"ro", "nosuid", "nodev", "noexec"});
    }
    return OkStatus();
  }

  Status AddSsh(const plan::RunMount& mount) {
    const auto found = options_.settings.ssh_sockets.find(mount.id);
    if (found == options_.settings.ssh_sockets.end()) {
      return OkStatus();
    }
    const std::string target = mount.target.empty()
                                   ? fmt::format("/run/buildkit/ssh_agent.{}", ssh_count_++)
                                   : mount.target;
    const std::filesystem::path path = NewPath();
    ASSIGN_OR_RETURN(std::unique_ptr<SocketRelay> relay,
                     SocketRelay::Listen(path, found->second,
                                         {.uid = mount.uid.value_or(0),
                                          .gid = mount.gid.value_or(0),
                                          .mode = mount.mode.value_or(kSocketMode)}));
    relays_.push_back(std::move(relay));
    Bind(path, target, {"rw"});
    if (ssh_count_ <= 1) {
      environment_.push_back("SSH_AUTH_SOCK=" + target);
    }
    return OkStatus();
  }

  const std::filesystem::path directory_;
  const Options& options_;
  CacheMounts& caches_;
  const std::stop_token& stop_;
  int count_ = 0;
  int ssh_count_ = 0;
  std::vector<std::filesystem::path> mounted_;
  std::vector<CacheMounts::Lease> leases_;
  std::vector<std::unique_ptr<SocketRelay>> relays_;
  std::vector<runc::Mount> mounts_;
  std::vector<std::string> environment_;
};

RunSteps::RunSteps(Options options)
    : options_(std::move(options)),
      runner_(RunnerOf(options_.state_directory, options_.build_id)),
      caches_(CacheMountsIn(options_.state_directory)) {}

RunSteps::~RunSteps() {
  std::error_code ignored;
  std::filesystem::remove_all(StateOf(options_.state_directory, options_.build_id), ignored);
}

runc::Runner RunSteps::RunnerOf(const std::filesystem::path& state_directory,
                                const std::string& build_id) {
  return runc::Runner({.state_directory = StateOf(state_directory, build_id)});
}

Status RunSteps::Check(const plan::Run& run) const {
  const auto refuse = [](const std::string& what) {
    return MakeError(StatusCode::kFailedPrecondition, what);
  };
  if (run.security == syntax::Security::kInsecure && !options_.settings.allow_insecure) {
    return refuse("security=insecure is not allowed; build with --allow security.insecure");
  }
  RETURN_IF_ERROR(DevicesOf(run).status());
  for (const plan::RunMount& mount : run.mounts) {
    const bool is_there = mount.type == syntax::MountType::kSecret
                              ? options_.settings.secrets.contains(mount.id)
                              : options_.settings.ssh_sockets.contains(mount.id);
    if (!mount.required || is_there) {
      continue;
    }
    if (mount.type == syntax::MountType::kSecret) {
      return refuse(fmt::format("secret {} is required; build with --secret id={},src=FILE",
                                mount.id, mount.id));
    }
    if (mount.type == syntax::MountType::kSsh) {
      return refuse(
          fmt::format("ssh agent {} is required; build with --ssh {}", mount.id, mount.id));
    }
  }
  return OkStatus();
}

const cdi::Devices& RunSteps::Devices() const {
  std::call_once(devices_read_,
                 [this] { devices_ = cdi::Devices::Read(options_.settings.device_directories); });
  return devices_;
}

StatusOr<std::vector<std::string>> RunSteps::DevicesOf(const plan::Run& run) const {
  const RunSettings& settings = options_.settings;
  std::vector<std::string> names;
  for (const syntax::Device& device : run.devices) {
    ASSIGN_OR_RETURN(const std::vector<cdi::Devices::Found> found, Devices().Find(device.name));
    if (found.empty() && device.required) {
      return MakeError(StatusCode::kFailedPrecondition,
                       fmt::format("there is no device {}; {} have none", device.name,
                                   fmt::join(Names(settings.device_directories), " and ")));
    }
    for (const cdi::Devices::Found& one : found) {
      const auto allows = one.annotations.find(kAllowAnnotation);
      const std::string kind = one.name.substr(0, one.name.find('='));
      if (!settings.allow_all_devices && !settings.allowed_devices.contains(one.name) &&
          !settings.allowed_devices.contains(kind) &&
          (allows == one.annotations.end() || !syntax::ParseBool(allows->second).value_or(false))) {
        return MakeError(StatusCode::kFailedPrecondition,
                         fmt::format("device {} is not allowed; build with --allow device={}",
                                     one.name, one.name));
      }
      names.push_back(one.name);
    }
  }
  return names;
}

StatusOr<int> RunSteps::InContainer(const plan::Run& run, const StepFiles& files,
                                    const PathOf& path_of, const std::stop_token& stop,
                                    const Process& process) {
  const std::string id = fmt::format("starling-{}-{}", options_.build_id, ++count_);
  Mounts mounts(options_.work_directory / (id + "-mounts"), options_, caches_, stop);
  RETURN_IF_ERROR(mounts.Make());
  RETURN_IF_ERROR(mounts.AddNetworkFiles());
  if (options_.settings.ca_bundle) {
    RETURN_IF_ERROR(mounts.AddCaBundle(*options_.settings.ca_bundle));
  }
  for (const plan::RunMount& mount : run.mounts) {
    RETURN_IF_ERROR(mounts.Add(mount, path_of));
  }
  if (run.script) {
    RETURN_IF_ERROR(mounts.AddFile("/dev/pipes/" + run.script->name, run.script->content, 0755));
  }

  runc::ContainerSpec spec;
  spec.root = files.root;
  spec.arguments = run.arguments;
  spec.environment = run.environment;
  spec.environment.insert(spec.environment.end(), run.proxies.begin(), run.proxies.end());
  spec.environment.insert(spec.environment.end(), mounts.environment().begin(),
                          mounts.environment().end());
  spec.working_directory = run.working_directory.empty() ? "/" : run.working_directory;
  ASSIGN_OR_RETURN(const files::UserRecord user, files::FindUser(files.root, run.user));
  spec.user = {.uid = user.uid, .gid = user.gid, .additional_gids = user.additional_gids};
  spec.hostname = kHostname;
  spec.network =
      run.network == syntax::Network::kNone ? runc::Network::kNone : runc::Network::kHost;
  spec.security = run.security == syntax::Security::kInsecure ? runc::Security::kInsecure
                                                              : runc::Security::kSandbox;
  spec.mounts = mounts.mounts();
  spec.shm_bytes = options_.settings.shm_bytes;
  spec.limits = options_.settings.limits;
  spec.resources = options_.settings.resources;
  if (!options_.settings.cgroup_parent.empty()) {
    spec.cgroups_path = options_.settings.cgroup_parent + "/" + id;
  }
  if (!run.devices.empty()) {
    ASSIGN_OR_RETURN(const std::vector<std::string> devices, DevicesOf(run));
    ASSIGN_OR_RETURN(const cdi::Edits edits, Devices().EditsFor(devices));
    RETURN_IF_ERROR(Apply(edits, spec));
  }
  return process(id, std::move(spec));
}

StatusOr<LayerMaker::Cleanup> RunSteps::Run(const plan::Run& run, const StepFiles& files,
                                            const PathOf& path_of, const runc::OnOutput& on_output,
                                            const std::stop_token& stop) {
  MountPoints points;
  ASSIGN_OR_RETURN(
      const int exit_code,
      InContainer(run, files, path_of, stop,
                  [&](const std::string& id, runc::ContainerSpec spec) -> StatusOr<int> {
                    std::vector<std::string> targets = {"/proc", "/dev", "/sys"};
                    for (const runc::Mount& mount : spec.mounts) {
                      targets.push_back(mount.destination);
                    }
                    ASSIGN_OR_RETURN(points, MountPoints::LookAt(files.root, targets));
                    ASSIGN_OR_RETURN(const int ended, runner_.Run(id, spec, on_output, stop));
                    if (ended != 0) {
                      DebugShell(id, std::move(spec), ended, stop);
                    }
                    return ended;
                  }));
  if (exit_code != 0) {
    return MakeError(StatusCode::kAborted, fmt::format("\"{}\" ended with exit code {}",
                                                       CommandText(run.arguments), exit_code));
  }
  RETURN_IF_ERROR(points.RemoveFrom(files.root));
  return LayerMaker::Cleanup([points](const StepFiles& unmounted) {
    return points.RemoveCopies(unmounted.upper, unmounted.lower);
  });
}

/// A shell in the place of a process that failed, with all that it had.
void RunSteps::DebugShell(const std::string& id, runc::ContainerSpec spec, int exit_code,
                          const std::stop_token& stop) const {
  const std::optional<DebugTerminal>& debug = options_.settings.debug_terminal;
  if (!debug || ::tcgetpgrp(debug->fd) != debug->foreground) {
    return;
  }
  const int terminal = debug->fd;
  FdSink out(terminal);
  // What cannot be said there cannot be said anywhere, and the step has failed anyway.
  const auto say = [&out](const std::string& text) { (void)out.Write(AsBytes(text)); };
  say(fmt::format(
      "\n\"{}\" ended with exit code {}.\nA shell in its place; the build ends with it:\n",
      CommandText(spec.arguments), exit_code));
  spec.arguments = {kShell};
  const char* type = std::getenv("TERM");
  spec.environment.push_back(fmt::format("TERM={}", type == nullptr ? "xterm" : type));
  const auto ended = runner_.RunOnTerminal(id + "-shell", std::move(spec), terminal, stop);
  if (!ended.ok()) {
    say(fmt::format("No shell: {}\n", Describe(ended.status())));
  }
}

StatusOr<int> RunSteps::RunOnce(const plan::Run& run, const StepFiles& files, const PathOf& path_of,
                                const runc::OnOutput& on_output, const std::stop_token& stop) {
  return InContainer(run, files, path_of, stop,
                     [&](const std::string& id, const runc::ContainerSpec& spec) {
                       return runner_.Run(id, spec, on_output, stop);
                     });
}

}  // namespace starling::dockerfile::build
