#include "doctor/host.h"

#include <fcntl.h>
#include <sys/stat.h>

#include <algorithm>
#include <charconv>

#include "base/file_system.h"
#include "base/io.h"
#include "setup/kept_file.h"

namespace starling::doctor {
namespace {

constexpr size_t kMaxNames = 1024;
/// The kernel that maps the IDs of FUSE's and of EROFS's mounts.
constexpr std::pair<int, int> kMapsIds = {6, 12};

int NumberAt(std::string_view text, size_t& at) {
  int number = 0;
  const auto read = std::from_chars(text.data() + at, text.data() + text.size(), number);
  at = static_cast<size_t>(read.ptr - text.data());
  return number;
}

}  // namespace

Host::Host(std::filesystem::path root, Machine& machine, Places places)
    : root_(std::move(root)),
      machine_(machine),
      places_(std::move(places)),
      containerd_(MakeError(StatusCode::kUnknown, "not asked")) {
  FindClients();
  const StatusOr<std::string> text = Read(places_.starling_config);
  if (text.ok()) {
    StatusOr<config::ParsedSettings> parsed = config::ParseSettings(*text, places_.starling_config);
    settings_status_ = parsed.status();
    if (parsed.ok()) {
      settings_ = std::move(parsed->settings);
    }
  } else if (text.status().code() != StatusCode::kNotFound) {
    settings_status_ = text.status();
  }
  starling_socket_ = places_.starling_socket.empty() ? settings_.address : places_.starling_socket;

  StatusOr<setup::ContainerdConfig> config =
      setup::ContainerdConfig::Load(root_, places_.containerd_config);
  containerd_status_ = config.status();
  if (config.ok()) {
    containerd_config_ = *std::move(config);
  }
  containerd_socket_ = places_.containerd_socket;
  if (containerd_socket_.empty() && Uses(Client::kK3s)) {
    containerd_socket_ = places_.k3s.socket;
  }
  if (containerd_socket_.empty() && containerd_config_) {
    setup::TomlPath path = setup::GrpcTable(containerd_config_->version());
    path.emplace_back("address");
    containerd_socket_ = containerd_config_->Text(path);
  }
  if (containerd_socket_.empty()) {
    containerd_socket_ = "/run/containerd/containerd.sock";
  }
  containerd_ = machine_.AskContainerd(containerd_socket_);
  StatusOr<std::string> version = places_.containerd_version;
  if (places_.containerd_version.empty()) {
    version = containerd_.ok() ? StatusOr<std::string>(containerd_->version)
                               : machine_.InstalledContainerd();
  }
  const StatusOr<setup::ContainerdVersion> known =
      version.ok() ? setup::ParseContainerdVersion(*version)
                   : StatusOr<setup::ContainerdVersion>(version.status());
  if (known.ok()) {
    containerd_version_ = *known;
  } else {
    const bool is_old =
        containerd_config_ && containerd_config_->exists() && containerd_config_->version() < 3;
    containerd_version_ = is_old ? setup::ContainerdVersion{1, 7} : setup::ContainerdVersion{2, 1};
  }
}

void Host::FindClients() {
  if (places_.clients) {
    clients_ = *places_.clients;
  } else {
    const auto any = [this](std::initializer_list<const char*> paths) {
      return std::ranges::any_of(paths, [this](const char* path) { return Exists(path); });
    };
    const bool has_k3s = any({"/etc/rancher/k3s", "/var/lib/rancher/k3s"});
    if (has_k3s) {
      clients_.insert(Client::kK3s);
    } else {
      clients_.insert(Client::kContainerd);
    }
    if (Exists(places_.nerdctl_config) || any({"/usr/local/bin/nerdctl", "/usr/bin/nerdctl"})) {
      clients_.insert(Client::kNerdctl);
    }
    if (!has_k3s && any({"/var/lib/kubelet", "/etc/kubernetes"})) {
      clients_.insert(Client::kCri);
    }
  }
}

int Host::containerd_config_version() const {
  if (containerd_config_ && containerd_config_->exists()) {
    return containerd_config_->version();
  }
  return setup::ConfigVersionFor(containerd_version_);
}

std::pair<int, int> Host::kernel() const {
  const std::string release = machine_.KernelRelease();
  size_t at = 0;
  const int major = NumberAt(release, at);
  if (at < release.size() && release[at] == '.') {
    ++at;
    return {major, NumberAt(release, at)};
  }
  return {major, 0};
}

bool Host::maps_ids() const { return kernel() >= kMapsIds && machine_.MapsIdsAt(settings_.root); }

std::filesystem::path Host::On(const std::string& path) const {
  return root_ / std::filesystem::path(path).relative_path();
}

StatusOr<std::string> Host::Read(const std::string& path) const {
  // Files of /proc have no size, and a pipe would be waited for.
  ASSIGN_OR_RETURN(const UniqueFd file, RealFileSystem().Open(On(path), O_RDONLY | O_NONBLOCK, 0));
  FdSource source(file.get());
  StatusOr<Bytes> bytes = ReadAll(source, setup::kMaxConfigBytes);
  if (!bytes.ok()) {
    return Annotate(bytes.status(), path);
  }
  return std::string(AsText(*bytes));
}

std::optional<Host::Attributes> Host::AttributesOf(const std::string& path) const {
  struct stat attributes{};
  if (::stat(On(path).c_str(), &attributes) != 0) {
    return std::nullopt;
  }
  return Attributes{.mode = attributes.st_mode, .owner = attributes.st_uid};
}

std::vector<std::string> Host::Names(const std::string& directory) const {
  std::vector<std::string> names;
  std::error_code error;
  for (std::filesystem::directory_iterator at(On(directory), error), end;
       !error && at != end && names.size() < kMaxNames; at.increment(error)) {
    names.push_back(at->path().filename().string());
  }
  std::ranges::sort(names);
  return names;
}

Step Host::Edit(const std::string& file, const setup::Wanted& wanted) const {
  const StatusOr<std::string> text = Read(file);
  if (!text.ok() && text.status().code() != StatusCode::kNotFound) {
    return Step::Advise(Describe(text.status()));
  }
  const StatusOr<setup::TomlPlan> plan = setup::PlanToml(text.ok() ? *text : "", file, wanted, "");
  if (!plan.ok()) {
    return Step::Advise(std::string(MessageOf(plan.status())));
  }
  return {.file = file,
          .edits = plan->AllEdits(),
          .lines = text.ok() ? setup::LinesOf(*text).size() : 0};
}

Step Host::CommentOut(const std::string& file, size_t line) const {
  const StatusOr<std::string> text = Read(file);
  const std::vector<std::string_view> lines =
      text.ok() ? setup::LinesOf(*text) : std::vector<std::string_view>();
  if (line == 0 || line > lines.size()) {
    return Step::Advise("correct " + file);
  }
  return {.file = file,
          .edits = {{.line = line, .removed = 1, .added = {"# " + std::string(lines[line - 1])}}},
          .lines = lines.size()};
}

Step Host::AddLine(const std::string& file, const std::string& line) const {
  const StatusOr<std::string> text = Read(file);
  const size_t lines = text.ok() ? setup::LinesOf(*text).size() : 0;
  return {
      .file = file, .edits = {{.line = lines + 1, .removed = 0, .added = {line}}}, .lines = lines};
}

Step Host::Restart(const std::string& service) const {
  if (Exists("/run/systemd/system")) {
    return Step::Run("systemctl restart " + service);
  }
  return Step::Advise("restart " + service);
}

Step Step::Run(std::string command) {
  Step step;
  step.command = std::move(command);
  return step;
}

Step Step::Advise(std::string advice) {
  Step step;
  step.advice = std::move(advice);
  return step;
}

size_t LineOf(const Status& status, const std::string& file) {
  std::string_view message = MessageOf(status);
  if (!message.starts_with(file + ":")) {
    return 0;
  }
  message.remove_prefix(file.size() + 1);
  size_t line = 0;
  std::from_chars(message.data(), message.data() + message.size(), line);
  return line;
}

}  // namespace starling::doctor
