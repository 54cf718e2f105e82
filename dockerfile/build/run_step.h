#pragma once

#include <cstdint>
#include <filesystem>
#include <functional>
#include <map>
#include <mutex>
#include <optional>
#include <set>
#include <stop_token>
#include <string>
#include <vector>

#include "base/status.h"
#include "cdi/devices.h"
#include "dockerfile/build/cache_mounts.h"
#include "dockerfile/build/layer_maker.h"
#include "dockerfile/plan/graph.h"
#include "runc/runner.h"

namespace starling::dockerfile::build {

/// This process's controlling terminal.
struct DebugTerminal {
  int fd = -1;  // borrowed
  /// The process group that had it when the build began. Another has it while the build is in the
  /// background, and keeps it.
  pid_t foreground = -1;
};

/// What a build allows and gives to the processes that it runs.
struct RunSettings {
  /// By id: what --secret and --ssh hand over. Never in a layer, a key or a message.
  std::map<std::string, std::string> secrets;
  std::map<std::string, std::filesystem::path> ssh_sockets;
  std::vector<std::string> extra_hosts;  // "NAME:ADDRESS"
  uint64_t shm_bytes = 64 << 20;
  std::vector<runc::ProcessLimit> limits;
  runc::Resources resources;
  std::string cgroup_parent;
  bool allow_insecure = false;
  /// Where the devices of RUN --device are described, and which a step may have: "KIND=NAME" or
  /// "KIND".
  std::vector<std::filesystem::path> device_directories = {"/etc/cdi", "/var/run/cdi"};
  bool allow_all_devices = false;
  std::set<std::string> allowed_devices;
  /// A bundle of certificates that processes trust, too (SSL_CERT_FILE and its kin), only while
  /// they run.
  std::optional<std::filesystem::path> ca_bundle;
  /// Where a step that failed gets a shell.
  std::optional<DebugTerminal> debug_terminal;
};

/// Runs RUN. Threads: safe.
class RunSteps {
 public:
  struct Options {
    RunSettings settings;
    /// For what is mounted into containers: on memory, of the step alone.
    std::filesystem::path work_directory;
    /// Of runc and the cache mounts.
    std::filesystem::path state_directory;
    std::string build_id;
    /// Fills a cache mount's new directory from elsewhere; false when there is nothing to fill it
    /// with, and the directory is as it was. May be empty.
    std::function<StatusOr<bool>(const std::string& id, const std::filesystem::path& directory,
                                 const std::stop_token& stop)>
        fill_cache_mount = nullptr;
  };
  /// Where the cache mounts of all builds are.
  static std::filesystem::path CacheMountsIn(const std::filesystem::path& state_directory) {
    return state_directory / "cache-mounts";
  }
  explicit RunSteps(Options options);
  ~RunSteps();
  /// What runs the containers of a build.
  static runc::Runner RunnerOf(const std::filesystem::path& state_directory,
                               const std::string& build_id);

  /// kFailedPrecondition when the step needs what is not allowed or not there: known before it
  /// starts.
  Status Check(const plan::Run& run) const;

  /// The directory of an input's files.
  using PathOf = std::function<StatusOr<std::filesystem::path>(plan::NodeId)>;
  /// Runs the step in `files.root`. kAborted says how the process ended, after a shell in its place
  /// has ended where there is a terminal for one; kCancelled after a stop.
  /// Returns the cleanup that belongs to it.
  StatusOr<LayerMaker::Cleanup> Run(const plan::Run& run, const StepFiles& files,
                                    const PathOf& path_of, const runc::OnOutput& on_output,
                                    const std::stop_token& stop);
  /// The same for a process whose files nobody keeps. Returns its exit code.
  StatusOr<int> RunOnce(const plan::Run& run, const StepFiles& files, const PathOf& path_of,
                        const runc::OnOutput& on_output, const std::stop_token& stop);

 private:
  class Mounts;
  using Process = std::function<StatusOr<int>(const std::string& id, runc::ContainerSpec spec)>;
  /// Calls `process` with the container that the step is to have, as long as all that is mounted
  /// into it is there.
  StatusOr<int> InContainer(const plan::Run& run, const StepFiles& files, const PathOf& path_of,
                            const std::stop_token& stop, const Process& process);
  void DebugShell(const std::string& id, runc::ContainerSpec spec, int exit_code,
                  const std::stop_token& stop) const;
  /// The full names of all that `run` asks for and that is there. kFailedPrecondition for one that
  /// is required and not there, or not allowed.
  StatusOr<std::vector<std::string>> DevicesOf(const plan::Run& run) const;

  /// Read when a step asks for one.
  const cdi::Devices& Devices() const;

  const Options options_;
  mutable std::once_flag devices_read_;
  mutable cdi::Devices devices_;
  runc::Runner runner_;
  CacheMounts caches_;
  std::atomic<uint64_t> count_ = 0;
};

}  // namespace starling::dockerfile::build
