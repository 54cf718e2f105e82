/// A machine in a temporary directory whose services read its files when they are started, so that
/// mistakes can be planted and cured. Its shell knows what cures use.
#pragma once

#include <fmt/ranges.h>
#include <gtest/gtest.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <filesystem>
#include <fstream>
#include <functional>
#include <set>
#include <sstream>
#include <string>
#include <vector>

#include "base/temp_dir.h"
#include "doctor/examine.h"
#include "doctor/host.h"
#include "doctor/machine.h"
#include "setup/containerd_config.h"
#include "setup/wanted.h"
#include "tests/support/read_whole.h"

namespace starling::testing_support {

class PlantedMachine : public doctor::Machine {
 public:
  PlantedMachine() {
    Put("/etc/starling/config.toml", "# as installed\nlog_level = \"info\"\n");
    Put("/etc/containerd/config.toml", R"(version = 3
# as installed

[plugins."io.containerd.cri.v1.images"]
  snapshotter = "stargz"                  # ours
  disable_snapshot_annotations = false
  [plugins."io.containerd.cri.v1.images".registry]
    config_path = "/etc/containerd/certs.d"

[proxy_plugins]
  [proxy_plugins.stargz]
    type = "snapshot"
    address = "/run/starling/starling.sock"
    [proxy_plugins.stargz.exports]
      enable_remote_snapshot_annotations = "true"

[[plugins."io.containerd.transfer.v1.local".unpack_config]]
  platform = "linux"
  snapshotter = "stargz"
[[plugins."io.containerd.transfer.v1.local".unpack_config]]
  platform = "linux"
  snapshotter = "overlayfs"
)");
    Put("/etc/containerd/certs.d/docker.io/hosts.toml",
        "server = \"https://registry-1.docker.io\"\n[host.\"https://mirror.example\"]\n  "
        "capabilities = [\"pull\"]\n");
    Put("/etc/nerdctl/nerdctl.toml",
        "snapshotter = \"stargz\"\nhosts_dir = [\"/etc/containerd/certs.d\"]\n");
    Put("/etc/systemd/system/starling.service",
        ReadWhole(STARLING_SOURCE_DIR "/systemd/starling.service"));
    Put("/proc/sys/fs/fuse/default_request_timeout", "0\n");
    Put("/proc/sys/fs/fuse/max_request_timeout", "0\n");
    Put("/run/starling/starling.sock", "", 0600);
    Put("/root/.docker/config.json", "{}", 0600);
    for (const char* directory : {"/run/systemd/system", "/var/lib/kubelet", "/var/lib/starling"}) {
      std::filesystem::create_directories(On(directory));
    }
    ::chmod(On("/var/lib/starling").c_str(), 0700);
    ::chmod(On("/run/starling").c_str(), 0711);
    Start();
  }

  std::filesystem::path On(const std::string& path) const { return root_.path() / path.substr(1); }
  const std::filesystem::path& root() const { return root_.path(); }
  void Put(const std::string& path, const std::string& text, mode_t mode = 0644) {
    std::filesystem::create_directories(On(path).parent_path());
    std::ofstream(On(path), std::ios::binary | std::ios::trunc) << text;
    ::chmod(On(path).c_str(), mode);
  }
  std::string Get(const std::string& path) const { return ReadWhole(On(path)); }
  /// All files, with names, permissions and what they hold.
  std::string Everything() const {
    std::vector<std::string> files;
    for (const auto& entry : std::filesystem::recursive_directory_iterator(root_.path())) {
      struct stat attributes{};
      EXPECT_EQ(::lstat(entry.path().c_str(), &attributes), 0);
      const std::string path = "/" + entry.path().lexically_relative(root_.path()).native();
      files.push_back(fmt::format("{} {:o} {} {}", path, attributes.st_mode, attributes.st_uid,
                                  entry.is_regular_file() ? Get(path) : ""));
    }
    std::ranges::sort(files);
    return fmt::format("{}", fmt::join(files, "\n"));
  }
  /// Replaces what must be there.
  void Change(const std::string& path, const std::string& from, const std::string& to) {
    std::string text = Get(path);
    const size_t at = text.find(from);
    ASSERT_NE(at, std::string::npos) << path << " has no " << from;
    Put(path, text.replace(at, from.size(), to));
  }

  doctor::Findings Examine() { return doctor::Examine(doctor::Host(root_.path(), *this, places)); }

  /// Services read their files.
  void Start() {
    StartContainerd();
    StartStarlingd();
  }

  /// Takes the step, as a person with a shell and an editor would.
  void Take(const doctor::Step& step) {
    if (!step.command.empty()) {
      Run(step.command);
    }
    if (!step.file.empty()) {
      std::vector<std::string> lines;
      std::istringstream text(Get(step.file));
      for (std::string line; std::getline(text, line);) {
        lines.push_back(line);
      }
      std::vector<setup::LineEdit> edits = step.edits;
      std::ranges::stable_sort(edits, std::greater(), &setup::LineEdit::line);
      for (size_t i = 0; i < edits.size();) {
        // Those at one line go in together, the first above.
        std::vector<std::string> added;
        size_t removed = 0;
        const size_t line = edits[i].line;
        for (; i < edits.size() && edits[i].line == line; ++i) {
          added.insert(added.end(), edits[i].added.begin(), edits[i].added.end());
          removed = std::max(removed, edits[i].removed);
        }
        const auto at = lines.begin() + static_cast<long>(line - 1);
        lines.insert(lines.erase(at, at + static_cast<long>(removed)), added.begin(), added.end());
      }
      std::string whole;
      for (const std::string& line : lines) {
        whole += line + "\n";
      }
      struct stat before{};
      const bool existed = ::stat(On(step.file).c_str(), &before) == 0;
      Put(step.file, whole, existed ? before.st_mode & 07777 : 0644);
    }
    if (!step.advice.empty() && by_hand) {
      by_hand(*this);
    }
  }

  // What is planted.
  std::string kernel = "6.18.44";
  std::set<std::string> file_systems = {"fuse", "overlay", "erofs"};
  bool has_fuse_device = true;
  std::string containerd_program = "2.3.4";
  std::map<std::string, doctor::Volume> volumes;  // by path; others are a large ext4
  std::set<std::string> no_overlay_at;
  std::set<std::string> no_mapped_ids_at;
  bool shares_mounts = true;
  bool is_plain_http = false;
  bool wants_login = false;
  Status image_answer;
  doctor::Places places;
  /// Does what a finding advises, and what no program can do.
  std::function<void(PlantedMachine&)> by_hand;

  // doctor::Machine
  bool IsRoot() override { return true; }
  std::string KernelRelease() override { return kernel; }
  Status HasFileSystem(const std::string& name) override {
    return file_systems.contains(name) ? OkStatus() : MakeError(StatusCode::kUnimplemented, name);
  }
  Status OpenFuseDevice() override {
    return has_fuse_device ? OkStatus() : MakeError(StatusCode::kNotFound, "/dev/fuse");
  }
  StatusOr<doctor::Volume> VolumeAt(const std::string& path) override {
    const auto found = volumes.find(path);
    return found != volumes.end() ? found->second
                                  : doctor::Volume{.type = "ext4",
                                                   .mount_point = "/",
                                                   .total_bytes = uint64_t{100} << 30,
                                                   .free_bytes = uint64_t{50} << 30,
                                                   .total_inodes = 1000,
                                                   .free_inodes = 500};
  }
  Status OverlayAt(const std::string& path) override {
    return no_overlay_at.contains(path) ? MakeError(StatusCode::kInternal, "Invalid argument")
                                        : OkStatus();
  }
  bool SharesBlocksAt(const std::string&) override { return true; }
  bool MapsIdsAt(const std::string& path) override { return !no_mapped_ids_at.contains(path); }
  StatusOr<bool> ShareMounts(const std::string&, const std::string&) override {
    return shares_mounts;
  }
  StatusOr<doctor::RunningContainerd> AskContainerd(const std::string& socket) override {
    if (!containerd_.ok() || socket != containerd_socket_) {
      return MakeError(StatusCode::kNotFound, socket + ": no such file");
    }
    return containerd_;
  }
  StatusOr<std::string> InstalledContainerd() override { return containerd_program; }
  Status AskStarlingd(const std::string& socket) override {
    return starlingd_socket_ == socket ? OkStatus() : MakeError(StatusCode::kNotFound, socket);
  }
  Status ReadImage(const std::string& image, const config::Settings& settings) override {
    const std::string host = image.substr(0, image.find('/'));
    if (wants_login) {
      return MakeError(StatusCode::kUnauthenticated, "401");
    }
    if (is_plain_http && !std::ranges::count(settings.registry.plain_http_hosts, host)) {
      return MakeError(StatusCode::kUnavailable, "SSL routines::wrong version number");
    }
    return image_answer;
  }

  void StopStarlingd() { starlingd_socket_.clear(); }
  void StopContainerd() { containerd_ = MakeError(StatusCode::kNotFound, "stopped"); }

 private:
  void StartContainerd() {
    const auto config = setup::ContainerdConfig::Load(root_.path(), "/etc/containerd/config.toml");
    if (!config.ok()) {
      containerd_ = config.status();
      return;
    }
    doctor::RunningContainerd running{.version = containerd_program, .snapshotters = {}};
    // containerd 2.x does not know sections of a file whose version it takes for 1.
    for (const std::string& name : config->Names({"proxy_plugins"})) {
      doctor::RunningContainerd::Plugin plugin{
          .socket = config->Text({"proxy_plugins", name, "address"}), .exports = {}, .error = ""};
      const std::string annotations =
          config->Text({"proxy_plugins", name, "exports", "enable_remote_snapshot_annotations"});
      if (!annotations.empty()) {
        plugin.exports["enable_remote_snapshot_annotations"] = annotations;
      }
      if (config->Text({"proxy_plugins", name, "type"}) == "snapshot") {
        running.snapshotters[name] = plugin;
      }
    }
    containerd_ = running;
    const std::string socket = config->Text({"grpc", "address"});
    containerd_socket_ = std::filesystem::exists(On("/etc/rancher/k3s"))
                             ? "/run/k3s/containerd/containerd.sock"
                         : socket.empty() ? "/run/containerd/containerd.sock"
                                          : socket;
  }

  void StartStarlingd() {
    starlingd_socket_.clear();
    const auto parsed = config::ParseSettings(Get("/etc/starling/config.toml"), "c");
    if (!parsed.ok()) {
      return;
    }
    const config::Settings& settings = parsed->settings;
    const bool can_run =
        settings.root.find_first_of(":,") == std::string::npos && settings.address.size() < 108 &&
        file_systems.contains("fuse") && file_systems.contains("overlay") && has_fuse_device &&
        (settings.mount.data_plane != config::DataPlane::kErofs || kernel.starts_with("6.18"));
    if (can_run) {
      starlingd_socket_ = settings.address;
    }
  }

  void Run(const std::string& command) {
    std::istringstream text(command);
    std::vector<std::string> words;
    for (std::string word; text >> word;) {
      words.push_back(word);
    }
    const auto is = [&command](std::string_view prefix) { return command.starts_with(prefix); };
    if (command == "systemctl restart containerd" || command == "systemctl restart k3s") {
      StartContainerd();
    } else if (command == "systemctl restart starling" ||
               command == "systemctl enable --now starling") {
      StartStarlingd();
    } else if (command == "systemctl daemon-reload") {
    } else if (is("modprobe ") && words.size() == 2) {
      file_systems.insert(words[1]);
    } else if (is("mknod ") && words.back() == "229") {
      has_fuse_device = true;
    } else if (is("sysctl -w fs.fuse.")) {
      const std::string name = words[2].substr(8, words[2].find('=') - 8);
      Put("/proc/sys/fs/fuse/" + name, words[2].substr(words[2].find('=') + 1) + "\n");
    } else if ((is("chmod ") || is("chown ")) && words.size() == 3) {
      const std::string real = words[0] + " " + words[1] + " '" + On(words[2]).native() + "'";
      ASSERT_EQ(std::system(real.c_str()), 0) << real;
    } else if (is("mount -o remount,rw ") && words.size() == 4) {
      for (auto& [path, volume] : volumes) {
        volume.is_read_only = volume.is_read_only && volume.mount_point != words[3];
      }
    } else if (is("starling cache evict --to ")) {
      for (auto& [path, volume] : volumes) {
        volume.free_bytes = volume.total_bytes / 2;
      }
    } else if (is("starling login ")) {
      wants_login = false;
    } else {
      FAIL() << "no such command: " << command;
    }
  }

  TempDir root_ = *TempDir::Make("/tmp", "planted-");
  StatusOr<doctor::RunningContainerd> containerd_;
  std::string containerd_socket_ = "/run/containerd/containerd.sock";
  std::string starlingd_socket_;
};

}  // namespace starling::testing_support
