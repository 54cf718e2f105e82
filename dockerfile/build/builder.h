#pragma once

#include <filesystem>
#include <functional>
#include <map>
#include <memory>
#include <optional>
#include <stop_token>
#include <string>
#include <string_view>
#include <vector>

#include "base/progress.h"
#include "base/status.h"
#include "containerd/client.h"
#include "dockerfile/build/base_images.h"
#include "dockerfile/build/cache_image.h"
#include "dockerfile/build/layer_format.h"
#include "dockerfile/build/provenance.h"
#include "dockerfile/build/run_step.h"
#include "dockerfile/build/tree.h"
#include "dockerfile/plan/graph.h"
#include "dockerfile/plan/keys.h"
#include "dockerfile/syntax/ignore_file.h"

namespace starling::dockerfile::build {

/// A directory that a build takes files from.
struct LocalContext {
  std::filesystem::path directory;
  std::shared_ptr<const syntax::IgnoreFile> ignore_file;  // null: nothing is ignored
  /// Files of it that an image with them reads before its others, relative to `directory`: a COPY
  /// puts them first into its layer.
  std::vector<std::string> read_first;
};

/// Differs for every build of the machine, even after a restart with the same process ids.
std::string NewBuildId();

struct BuildSettings {
  /// Part of the names of what exists only during the build.
  std::string build_id = NewBuildId();
  std::string snapshotter = "stargz";
  LayerFormat format;
  std::optional<int64_t> source_date_epoch;
  RunSettings run;
  /// By name; empty is the build's own.
  std::map<std::string, LocalContext> contexts;
  /// Results of others, asked in order for what is not known here.
  std::vector<std::shared_ptr<CacheImport>> cache_from;
  size_t steps_at_once = 4;
  /// On a disk, shared by all builds: cache mounts, downloads, what is known of contexts.
  std::filesystem::path state_directory;
  /// Over which each step has a file system on memory of its own: mount points, secrets.
  std::filesystem::path work_directory;
};

/// Ends the containers of the build `build_id`, which was killed. Blocks.
Status RemoveLeftovers(const std::filesystem::path& state_directory, const std::string& build_id);

/// Hears how a build gets on. Threads: called from several, one call at a time for each node.
class BuildListener {
 public:
  virtual ~BuildListener() = default;
  virtual void OnStart(plan::NodeId node) = 0;
  virtual void OnCached(plan::NodeId node) = 0;
  virtual void OnOutput(plan::NodeId node, runc::Stream stream, std::string_view text) = 0;
  virtual void OnDone(plan::NodeId node) = 0;
  virtual void OnFailed(plan::NodeId node, const Status& why) = 0;
};

/// How a node's key comes about.
struct KeyReport {
  plan::NodeId node = 0;
  oci::Digest key;
  std::vector<plan::KeyPart> parts;
  bool is_cached = false;
  /// Of a miss: the parts in which it differs from the last time, with their former values; all of
  /// them when there was none.
  std::vector<plan::KeyPart> former_parts;
  bool has_former = false;
};

/// Executes a graph. Borrows everything that it is given; the client uses a lease that lives as
/// long as the build. Threads: one at a time.
class Builder {
 public:
  Builder(containerd::Client& client, const plan::Graph& graph, BaseImages& images,
          BuildSettings settings, BuildListener& listener, Progress& pulls);
  ~Builder();

  /// The files of `root`. Steps whose results are known are not done again, and what only they
  /// need is not even looked at; the others run side by side as their inputs allow. The first
  /// failure ends all. After an error or a stop nothing is left but results of steps that ended.
  StatusOr<Tree> Build(plan::NodeId root, const std::stop_token& stop);
  /// The node whose failure ended the last Build; nothing when none did.
  std::optional<plan::NodeId> failed_node() const;

  /// The results of the steps below and at `root`, once it is built: of all that it takes files
  /// from, or of those whose layers it has.
  enum class Which { kAll, kOwnLayers };
  StatusOr<std::vector<CachedResult>> Results(plan::NodeId root, Which which);

  /// What comes from outside of all that `root` needs, once it is built.
  std::vector<Material> Materials(plan::NodeId root) const;
  /// Of that, the downloads and repositories, by their nodes.
  const std::map<plan::NodeId, Material>& Fetched() const;

  /// The keys of all that `root` needs, without executing a step. Contexts are read, downloads
  /// made.
  StatusOr<std::vector<KeyReport>> Explain(plan::NodeId root, const std::stop_token& stop);
  /// Runs a process on a copy of a tree that nobody keeps, in a container as RUN has it. Returns
  /// its exit code.
  StatusOr<int> RunOnce(const Tree& tree, const plan::Run& run, const runc::OnOutput& on_output,
                        const std::stop_token& stop);
  /// Lets `look` see a tree at a directory, to read.
  Status Look(const Tree& tree, const std::function<Status(const std::filesystem::path&)>& look);

 private:
  struct State;
  class Execution;
  std::unique_ptr<State> state_;
};

}  // namespace starling::dockerfile::build
