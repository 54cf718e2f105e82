#pragma once

#include <cstdint>
#include <filesystem>
#include <functional>
#include <map>
#include <optional>
#include <stop_token>
#include <string>
#include <vector>

#include "base/status.h"
#include "dockerfile/build/cache_mounts.h"
#include "dockerfile/build/layer_maker.h"
#include "dockerfile/plan/graph.h"
#include "runc/runner.h"

namespace starling::dockerfile::build {

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
  /// A bundle of certificates that processes trust, too (SSL_CERT_FILE and its kin), only while
  /// they run.
  std::optional<std::filesystem::path> ca_bundle;
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
  };
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
  /// Runs the step in `files.root`. kAborted says how the process ended; kCancelled after a stop.
  /// Returns the cleanup that belongs to it.
  StatusOr<LayerMaker::Cleanup> Run(const plan::Run& run, const StepFiles& files,
                                    const PathOf& path_of, const runc::OnOutput& on_output,
                                    const std::stop_token& stop);
  /// The same for a process whose files nobody keeps. Returns its exit code.
  StatusOr<int> RunOnce(const plan::Run& run, const StepFiles& files, const PathOf& path_of,
                        const runc::OnOutput& on_output, const std::stop_token& stop);

 private:
  class Mounts;
  /// Calls `look` with the mount points before the process starts.
  StatusOr<int> RunInContainer(
      const plan::Run& run, const StepFiles& files, const PathOf& path_of,
      const runc::OnOutput& on_output, const std::stop_token& stop,
      const std::function<Status(const std::vector<std::string>& targets)>& look);
  const Options options_;
  runc::Runner runner_;
  CacheMounts caches_;
  std::atomic<uint64_t> count_ = 0;
};

}  // namespace starling::dockerfile::build
