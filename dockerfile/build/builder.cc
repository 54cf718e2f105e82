#include "dockerfile/build/builder.h"

#include <fcntl.h>

#include <algorithm>
#include <condition_variable>
#include <deque>
#include <set>
#include <thread>
#include <utility>

#include "base/executor.h"
#include "base/file_system.h"
#include "base/log.h"
#include "base/mutex.h"
#include "containerd/pull.h"
#include "dockerfile/build/layer_maker.h"
#include "dockerfile/build/remote_sources.h"
#include "dockerfile/build/result_cache.h"
#include "dockerfile/build/scratch_directory.h"
#include "dockerfile/build/step_lock.h"
#include "dockerfile/files/copy.h"
#include "dockerfile/files/digest.h"
#include "dockerfile/files/root_walk.h"
#include "dockerfile/files/users.h"

namespace starling::dockerfile::build {
namespace {

using plan::NodeId;

bool MakesLayer(const plan::Operation& operation) { return plan::BaseOf(operation).has_value(); }

/// A tree of an image or a step, which has layers, as opposed to files from elsewhere.
bool HasTree(const plan::Operation& operation) {
  return MakesLayer(operation) || std::holds_alternative<plan::Scratch>(operation) ||
         std::holds_alternative<plan::ImageSource>(operation);
}

std::string RelativeToRoot(const std::string& path) {
  const size_t begin = path.find_first_not_of('/');
  return begin == std::string::npos ? "" : path.substr(begin);
}

}  // namespace

std::string NewBuildId() {
  return fmt::format("{}-{:x}", ::getpid(),
                     std::chrono::system_clock::now().time_since_epoch().count());
}

Status RemoveLeftovers(const std::filesystem::path& state_directory, const std::string& build_id) {
  return RunSteps::RunnerOf(state_directory, build_id).RemoveLeftovers();
}

/// What is known of a node.
struct NodeState {
  oci::Digest key;
  std::vector<plan::KeyPart> parts;
  bool is_forced = false;  // done again, whatever is known
  bool is_done = false;
  Tree tree;                        // when it has one and is done
  std::filesystem::path directory;  // of files from elsewhere
};

/// What steps that are under way know of each other. Threads: safe.
class StepsUnderWay {
 public:
  virtual ~StepsUnderWay() = default;
  /// A step's files are there: what needs nothing else of it may begin.
  virtual void OnWritten(NodeId node, const LayerMaker::Written& files) = 0;
  /// A step's files while its layer is being stored; nothing once it is done.
  virtual std::optional<LayerMaker::Written> Unfinished(NodeId node) = 0;
  /// Waits for a step's end. kCancelled when the build ends before that.
  virtual Status WaitFor(NodeId node) = 0;
};

struct Builder::State {
  State(containerd::Client& the_client, const plan::Graph& the_graph, BaseImages& the_images,
        BuildSettings the_settings, BuildListener& the_listener, Progress& the_pulls)
      : client(the_client),
        graph(the_graph),
        images(the_images),
        settings(std::move(the_settings)),
        listener(the_listener),
        pulls(the_pulls),
        maker(client, {.snapshotter = settings.snapshotter,
                       .format = settings.format,
                       .source_date_epoch = settings.source_date_epoch,
                       .work_directory = settings.work_directory,
                       .build_id = settings.build_id}),
        runs({.settings = settings.run,
              .work_directory = settings.work_directory,
              .state_directory = settings.state_directory,
              .build_id = settings.build_id,
              .fill_cache_mount =
                  [this](const std::string& id, const std::filesystem::path& directory,
                         const std::stop_token& stop) {
                    return FillCacheMount(id, directory, stop);
                  }}),
        cache(client, settings.snapshotter),
        nodes(graph.nodes.size()) {}

  /// `root` and all that it needs, inputs first.
  Status FindKeys(const std::vector<NodeId>& order, const std::stop_token& stop);
  StatusOr<std::vector<plan::KeyPart>> PartsOf(NodeId node);
  files::ContentDigests& ContentsOf(const std::filesystem::path& directory);
  StatusOr<oci::Digest> DigestOfInput(NodeId input, const std::string& path, bool is_pattern,
                                      const std::vector<std::string>& exclude, bool parents);
  StatusOr<std::vector<NodeId>> FindSteps(NodeId root, const std::vector<NodeId>& order,
                                          const std::stop_token& stop);
  StatusOr<std::optional<CachedResult>> FindResult(NodeId node, const std::stop_token& stop);
  StatusOr<bool> FillCacheMount(const std::string& id, const std::filesystem::path& directory,
                                const std::stop_token& stop) const;
  CachedResult ResultOf(NodeId node, Tree tree) const;

  Status Execute(NodeId node, StepsUnderWay& others, const std::stop_token& stop);
  Status ExecuteStep(NodeId node, StepsUnderWay& others, const std::stop_token& stop);
  StatusOr<Tree> Work(NodeId node, StepsUnderWay& others, const std::stop_token& stop);
  /// The layer of `node` on `base`, which may still be stored.
  StatusOr<Tree> MakeLayer(NodeId node, NodeId base, StepsUnderWay& others,
                           const LayerMaker::Work& work,
                           const std::vector<std::string>& read_first = {});
  Status Pull(NodeId node, const plan::ImageSource& image, const std::stop_token& stop);
  StatusOr<Tree> Run(NodeId node, const plan::Run& run, StepsUnderWay& others,
                     const std::stop_token& stop);
  StatusOr<Tree> Copy(NodeId node, const plan::Copy& copy, StepsUnderWay& others,
                      const std::stop_token& stop);
  StatusOr<Tree> MakeDirectory(NodeId node, const plan::MakeDirectory& directory,
                               StepsUnderWay& others);
  /// Trees that one step reads, shown to it alone.
  using Views = std::map<NodeId, std::unique_ptr<LayerMaker::View>>;
  StatusOr<std::filesystem::path> PathOf(NodeId node, Views& views);
  files::CopySource SourceOf(NodeId input, const std::string& path) const;
  std::vector<std::string> ReadFirst(const plan::Copy& copy) const;

  containerd::Client& client;
  const plan::Graph& graph;
  BaseImages& images;
  const BuildSettings settings;
  BuildListener& listener;
  Progress& pulls;
  LayerMaker maker;
  RunSteps runs;
  ResultCache cache;
  std::optional<ScratchDirectory> sources;  // of what comes from elsewhere
  std::map<std::filesystem::path, std::unique_ptr<files::ContentDigests>> contents;
  std::vector<NodeState> nodes;
  std::map<NodeId, Material> materials;
  std::optional<NodeId> failed;
};

files::CopySource Builder::State::SourceOf(NodeId input, const std::string& path) const {
  files::CopySource source;
  source.path = path;
  const plan::Operation& operation = graph.nodes[input].operation;
  source.zero_owners = !HasTree(operation);
  if (const auto* context = std::get_if<plan::ContextSource>(&operation)) {
    const LocalContext& local = settings.contexts.at(context->name);
    source.root = local.directory;
    source.ignore_file = local.ignore_file.get();
  } else {
    source.root = nodes[input].directory;
  }
  return source;
}

/// Where the files that are read first come to lie, without a leading slash.
std::vector<std::string> Builder::State::ReadFirst(const plan::Copy& copy) const {
  std::vector<std::string> paths;
  for (const plan::CopySource& source : copy.sources) {
    const auto* context = std::get_if<plan::ContextSource>(&graph.nodes[source.input].operation);
    if (context == nullptr || copy.parents) {
      continue;
    }
    const std::string below = source.path.empty() ? "" : source.path + "/";
    for (const std::string& file : settings.contexts.at(context->name).read_first) {
      if (file.starts_with(below)) {
        paths.push_back(RelativeToRoot(
            (std::filesystem::path(copy.destination) / file.substr(below.size())).native()));
      }
    }
  }
  return paths;
}

/// Of what is selected from files that come from elsewhere.
StatusOr<oci::Digest> Builder::State::DigestOfInput(NodeId input, const std::string& path,
                                                    bool is_pattern,
                                                    const std::vector<std::string>& exclude,
                                                    bool parents) {
  files::CopySource source = SourceOf(input, path);
  source.is_pattern = is_pattern;
  return files::DigestOf(source, exclude, parents, ContentsOf(source.root));
}

StatusOr<std::vector<plan::KeyPart>> Builder::State::PartsOf(NodeId node) {
  const plan::Operation& operation = graph.nodes[node].operation;
  std::vector<plan::KeyPart> parts = plan::KeyPartsOf(operation);
  const auto add = [&parts](std::string name, const oci::Digest& digest) {
    parts.push_back({.name = std::move(name), .value = digest.ToString()});
  };
  if (MakesLayer(operation)) {
    // Layers differ with their format, and with the times that they may have.
    parts.push_back({.name = "format", .value = std::string(NameOf(settings.format.compression))});
    if (settings.format.level) {
      parts.push_back({.name = "level", .value = fmt::format("{}", *settings.format.level)});
    }
    if (settings.source_date_epoch) {
      parts.push_back(
          {.name = "SOURCE_DATE_EPOCH", .value = fmt::format("{}", *settings.source_date_epoch)});
    }
  }
  if (const std::optional<NodeId> base = plan::BaseOf(operation)) {
    add(std::string(kBasePart), nodes[*base].key);
  }
  if (const auto* run = std::get_if<plan::Run>(&operation)) {
    for (size_t i = 0; i < run->mounts.size(); ++i) {
      const plan::RunMount& mount = run->mounts[i];
      // What a cache begins with is no input: it may hold anything by now.
      if (!mount.input || mount.type == syntax::MountType::kCache) {
        continue;
      }
      oci::Digest digest = nodes[*mount.input].key;
      if (HasTree(graph.nodes[*mount.input].operation)) {
        // The key is that of the whole tree.
        parts.push_back(
            {.name = fmt::format("path of mount {}", mount.target), .value = mount.source});
      } else {
        ASSIGN_OR_RETURN(digest, DigestOfInput(*mount.input, RelativeToRoot(mount.source),
                                               /*is_pattern=*/false, {}, /*parents=*/false));
      }
      add(fmt::format("files of mount {}", mount.target), digest);
    }
  } else if (const auto* copy = std::get_if<plan::Copy>(&operation)) {
    for (const plan::CopySource& source : copy->sources) {
      oci::Digest digest = nodes[source.input].key;
      if (!HasTree(graph.nodes[source.input].operation)) {
        ASSIGN_OR_RETURN(digest, DigestOfInput(source.input, source.path, source.is_pattern,
                                               copy->exclude, copy->parents));
      }
      add(fmt::format("files of {}", source.path.empty() ? "." : source.path), digest);
    }
    if (const std::vector<std::string> first = ReadFirst(*copy); !first.empty()) {
      parts.push_back({.name = "read first", .value = fmt::format("{}", fmt::join(first, " "))});
    }
  }
  return parts;
}

files::ContentDigests& Builder::State::ContentsOf(const std::filesystem::path& directory) {
  std::unique_ptr<files::ContentDigests>& digests = contents[directory];
  if (!digests) {
    const std::string name = oci::Digest::Of(AsBytes(directory.native())).Hex();
    digests = std::make_unique<files::ContentDigests>(settings.state_directory / "context-digests" /
                                                      name);
  }
  return *digests;
}

Status Builder::State::FindKeys(const std::vector<NodeId>& order, const std::stop_token& stop) {
  if (!sources) {
    ASSIGN_OR_RETURN(sources, ScratchDirectory::Make(settings.state_directory / "sources"));
  }
  for (const NodeId node : order) {
    if (stop.stop_requested()) {
      return MakeError(StatusCode::kCancelled, "stopped");
    }
    NodeState& state = nodes[node];
    const plan::Node& planned = graph.nodes[node];
    state.is_forced = planned.no_cache;
    for (const NodeId input : plan::InputsOf(planned.operation)) {
      state.is_forced = state.is_forced || nodes[input].is_forced;
    }
    const auto found = [&]() -> Status {
      if (const auto* run = std::get_if<plan::Run>(&planned.operation)) {
        RETURN_IF_ERROR(runs.Check(*run));
      }
      if (IsRemote(planned.operation)) {
        listener.OnStart(node);
        ASSIGN_OR_RETURN(
            FetchedSource fetched,
            FetchRemote(planned.operation, sources->path() / fmt::format("{}", node), stop));
        state.directory = std::move(fetched.directory);
        if (fetched.material) {
          materials[node] = *std::move(fetched.material);
        }
        state.is_done = true;
        listener.OnDone(node);
      }
      if (const auto* context = std::get_if<plan::ContextSource>(&planned.operation);
          context != nullptr && !settings.contexts.contains(context->name)) {
        return MakeError(
            StatusCode::kFailedPrecondition,
            context->name.empty()
                ? "there is no build context; name a directory, or - for one as a tar"
                : fmt::format("there is no build context {}; add --build-context {}=DIR",
                              context->name, context->name));
      }
      ASSIGN_OR_RETURN(state.parts, PartsOf(node));
      state.key = plan::KeyOf(state.parts);
      return OkStatus();
    }();
    if (!found.ok()) {
      failed = node;
      listener.OnFailed(node, found);
      return found;
    }
  }
  for (const auto& [name, context] : settings.contexts) {
    if (const auto found = contents.find(context.directory); found != contents.end()) {
      RETURN_IF_ERROR(found->second->Save());
    }
  }
  return OkStatus();
}

CachedResult Builder::State::ResultOf(NodeId node, Tree tree) const {
  const auto* copy = std::get_if<plan::Copy>(&graph.nodes[node].operation);
  return {.key = nodes[node].key,
          .tree = std::move(tree),
          .title = graph.nodes[node].title,
          .parts = nodes[node].parts,
          .is_alone = copy != nullptr && copy->link};
}

/// From what somebody else has left. An empty directory does for a step, too.
StatusOr<bool> Builder::State::FillCacheMount(const std::string& id,
                                              const std::filesystem::path& directory,
                                              const std::stop_token& stop) const {
  for (const std::shared_ptr<CacheImport>& import : settings.cache_from) {
    const StatusOr<bool> filled = import->FillMount(id, directory, stop);
    if (filled.ok() && *filled) {
      return true;
    }
    if (stop.stop_requested()) {
      return MakeError(StatusCode::kCancelled, "stopped");
    }
    if (!filled.ok()) {
      log::Warning("a cache mount cannot be had from a build cache",
                   {{"id", id}, {"cache", import->Name()}, {"error", Describe(filled.status())}});
      ASSIGN_OR_RETURN(const UniqueFd opened, files::OpenRoot(directory));
      ASSIGN_OR_RETURN(const std::vector<std::string> names, files::NamesIn(opened.get()));
      for (const std::string& name : names) {
        RETURN_IF_ERROR(files::RemoveTree(opened.get(), name));
      }
    }
  }
  return false;
}

/// What is known here, or what somebody else has left; that is known here then, too.
StatusOr<std::optional<CachedResult>> Builder::State::FindResult(NodeId node,
                                                                 const std::stop_token& stop) {
  const oci::Digest& key = nodes[node].key;
  ASSIGN_OR_RETURN(std::optional<CachedResult> known, cache.Find(key));
  if (known) {
    return known;
  }
  for (const std::shared_ptr<CacheImport>& import : settings.cache_from) {
    std::optional<CachedResult> result = import->Find(key);
    if (!result) {
      continue;
    }
    const Status brought = import->Bring(*result, client, settings.snapshotter, stop, pulls);
    if (!brought.ok()) {
      if (stop.stop_requested()) {
        return brought;
      }
      // The step is done again: a cache is no reason to fail.
      log::Warning("a result cannot be had from a build cache",
                   {{"cache", import->Name()}, {"error", Describe(brought)}});
      continue;
    }
    result = ResultOf(node, std::move(result->tree));
    RETURN_IF_ERROR(cache.Put(*result));
    return result;
  }
  return std::optional<CachedResult>();
}

/// The nodes that must be executed, inputs first. The others are done.
StatusOr<std::vector<NodeId>> Builder::State::FindSteps(NodeId root,
                                                        const std::vector<NodeId>& order,
                                                        const std::stop_token& stop) {
  std::set<NodeId> wanted = {root};
  std::set<NodeId> below_cached;
  std::vector<NodeId> steps;
  for (auto at = order.rbegin(); at != order.rend(); ++at) {
    const NodeId node = *at;
    NodeState& state = nodes[node];
    const plan::Operation& operation = graph.nodes[node].operation;
    const auto pass_on = [&](std::set<NodeId>& to) {
      for (const NodeId input : plan::InputsOf(operation)) {
        to.insert(input);
      }
    };
    if (!wanted.contains(node)) {
      if (below_cached.contains(node) && MakesLayer(operation)) {
        pass_on(below_cached);
        listener.OnCached(node);
      }
      continue;
    }
    if (MakesLayer(operation) && !state.is_forced) {
      ASSIGN_OR_RETURN(const std::optional<CachedResult> known, FindResult(node, stop));
      if (known) {
        state.tree = known->tree;
        state.is_done = true;
        pass_on(below_cached);
        listener.OnCached(node);
        continue;
      }
    }
    pass_on(wanted);
    if (!state.is_done && !std::holds_alternative<plan::ContextSource>(operation)) {
      steps.push_back(node);
    }
  }
  std::reverse(steps.begin(), steps.end());
  return steps;
}

StatusOr<std::filesystem::path> Builder::State::PathOf(NodeId node, Views& views) {
  if (const auto* context = std::get_if<plan::ContextSource>(&graph.nodes[node].operation)) {
    return settings.contexts.at(context->name).directory;
  }
  if (!HasTree(graph.nodes[node].operation)) {
    return nodes[node].directory;
  }
  std::unique_ptr<LayerMaker::View>& view = views[node];
  if (!view) {
    ASSIGN_OR_RETURN(view, maker.Show(nodes[node].tree));
  }
  return view->path();
}

Status Builder::State::Pull(NodeId node, const plan::ImageSource& source,
                            const std::stop_token& stop) {
  ASSIGN_OR_RETURN(const std::shared_ptr<const BaseImages::Image> image, images.Find(source));
  RETURN_IF_ERROR(containerd::PullLayers(client, *image->source, image->selected,
                                         image->config->diff_ids(),
                                         {.reference = image->reference,
                                          .snapshotter = settings.snapshotter,
                                          .labels = containerd::LabelsForBuild(),
                                          .stop = stop},
                                         pulls)
                      .status());
  nodes[node].tree = TreeOf(*image);
  return OkStatus();
}

StatusOr<Tree> Builder::State::MakeLayer(NodeId node, NodeId base, StepsUnderWay& others,
                                         const LayerMaker::Work& work,
                                         const std::vector<std::string>& read_first) {
  const auto on_written = [&](const LayerMaker::Written& files) { others.OnWritten(node, files); };
  if (std::optional<LayerMaker::Written> files = others.Unfinished(base)) {
    return maker.MakeOn({.files = *std::move(files),
                         .wait = [&]() -> StatusOr<Tree> {
                           RETURN_IF_ERROR(others.WaitFor(base));
                           return nodes[base].tree;
                         }},
                        work, read_first, on_written);
  }
  return maker.Make(nodes[base].tree, LayerMaker::Sees::kBase, work, read_first, on_written);
}

StatusOr<Tree> Builder::State::Run(NodeId node, const plan::Run& run, StepsUnderWay& others,
                                   const std::stop_token& stop) {
  return MakeLayer(node, run.base, others, [&](const StepFiles& files) {
    Views views;
    return runs.Run(
        run, files, [&](NodeId input) { return PathOf(input, views); },
        [&](runc::Stream stream, std::string_view text) { listener.OnOutput(node, stream, text); },
        stop);
  });
}

StatusOr<Tree> Builder::State::Copy(NodeId node, const plan::Copy& copy, StepsUnderWay& others,
                                    const std::stop_token& stop) {
  if (copy.link && !nodes[node].is_forced) {
    ASSIGN_OR_RETURN(const std::optional<CachedResult> known, cache.FindAlone(nodes[node].parts));
    if (known) {
      StatusOr<Tree> repeated = maker.Repeat(nodes[copy.base].tree, known->tree, stop);
      const StatusCode code = repeated.status().code();
      if (code != StatusCode::kUnimplemented && code != StatusCode::kNotFound) {
        return repeated;
      }
    }
  }
  const auto work = [&](const StepFiles& files) -> StatusOr<LayerMaker::Cleanup> {
    Views views;
    files::CopyRequest request;
    for (const plan::CopySource& planned : copy.sources) {
      files::CopySource source = SourceOf(planned.input, planned.path);
      ASSIGN_OR_RETURN(source.root, PathOf(planned.input, views));
      source.is_pattern = planned.is_pattern;
      source.unpack = planned.unpack;
      request.sources.push_back(std::move(source));
    }
    request.destination = copy.destination;
    request.chmod = copy.chmod;
    request.exclude = copy.exclude;
    request.parents = copy.parents;
    request.date_made_directories = copy.link;
    if (!copy.chown.empty()) {
      // A layer of its own does not see who there is: names are those of the base
      // all the same.
      std::filesystem::path names = files.root;
      if (copy.link) {
        ASSIGN_OR_RETURN(names, PathOf(copy.base, views));
      }
      ASSIGN_OR_RETURN(request.owner, files::FindOwner(names, copy.chown));
    }
    RETURN_IF_ERROR(files::CopyFiles(request, files.root, stop).status());
    return LayerMaker::Cleanup();
  };
  return copy.link
             ? maker.Make(nodes[copy.base].tree, LayerMaker::Sees::kNothing, work, ReadFirst(copy))
             : MakeLayer(node, copy.base, others, work, ReadFirst(copy));
}

StatusOr<Tree> Builder::State::MakeDirectory(NodeId node, const plan::MakeDirectory& directory,
                                             StepsUnderWay& others) {
  return MakeLayer(
      node, directory.base, others, [&](const StepFiles& files) -> StatusOr<LayerMaker::Cleanup> {
        ASSIGN_OR_RETURN(const files::UserRecord user, files::FindUser(files.root, directory.user));
        RETURN_IF_ERROR(
            files::MakeDirectory(files.root, directory.path, {.uid = user.uid, .gid = user.gid}));
        return LayerMaker::Cleanup();
      });
}

StatusOr<Tree> Builder::State::Work(NodeId node, StepsUnderWay& others,
                                    const std::stop_token& stop) {
  const plan::Operation& operation = graph.nodes[node].operation;
  if (const auto* run = std::get_if<plan::Run>(&operation)) {
    return Run(node, *run, others, stop);
  }
  if (const auto* copy = std::get_if<plan::Copy>(&operation)) {
    return Copy(node, *copy, others, stop);
  }
  return MakeDirectory(node, std::get<plan::MakeDirectory>(operation), others);
}

Status Builder::State::ExecuteStep(NodeId node, StepsUnderWay& others,
                                   const std::stop_token& stop) {
  NodeState& state = nodes[node];
  ASSIGN_OR_RETURN(const UniqueFd lock,
                   LockStep(settings.state_directory / "steps", state.key, stop));
  if (!state.is_forced) {
    // Another build may have done it while this one waited.
    ASSIGN_OR_RETURN(const std::optional<CachedResult> known, cache.Find(state.key));
    if (known) {
      state.tree = known->tree;
      return OkStatus();
    }
  }
  ASSIGN_OR_RETURN(state.tree, Work(node, others, stop));
  return cache.Put(ResultOf(node, state.tree));
}

Status Builder::State::Execute(NodeId node, StepsUnderWay& others, const std::stop_token& stop) {
  listener.OnStart(node);
  const plan::Operation& operation = graph.nodes[node].operation;
  Status done;
  if (const auto* image = std::get_if<plan::ImageSource>(&operation)) {
    done = Pull(node, *image, stop);
  } else if (MakesLayer(operation)) {
    done = ExecuteStep(node, others, stop);
  }
  if (done.ok()) {
    nodes[node].is_done = true;
    listener.OnDone(node);
  } else {
    listener.OnFailed(node, done);
  }
  return done;
}

/// Whether a step needs nothing of `node` but to stand on its files.
bool OnlyStandsOn(const plan::Operation& operation, NodeId node) {
  const auto* copy = std::get_if<plan::Copy>(&operation);
  const std::vector<NodeId> inputs = plan::InputsOf(operation);
  return plan::BaseOf(operation) == node && std::ranges::count(inputs, node) == 1 &&
         !(copy != nullptr && copy->link);
}

/// Executes steps on several threads, each as soon as its inputs are done, or its base's files are
/// there.
class Builder::Execution : private StepsUnderWay {
 public:
  Execution(State& state, const std::vector<NodeId>& steps, const std::stop_token& stop)
      : state_(state), stop_callback_(stop, [this] { RequestStop(); }) {
    const std::set<NodeId> all(steps.begin(), steps.end());
    for (const NodeId node : steps) {
      std::set<NodeId> inputs;
      for (const NodeId input : plan::InputsOf(state.graph.nodes[node].operation)) {
        if (all.contains(input)) {
          inputs.insert(input);
        }
      }
      for (const NodeId input : inputs) {
        dependents_[input].push_back(node);
      }
      missing_inputs_[node] = inputs.size();
      if (inputs.empty()) {
        ready_.push_back(node);
      }
    }
    left_ = steps.size();
  }

  Status Finish() {
    size_t count = state_.settings.steps_at_once;
    {
      MutexLock lock(mutex_);
      count = std::min(count, left_);
    }
    {
      std::vector<std::jthread> threads;
      threads.reserve(count);
      for (size_t i = 0; i < count; ++i) {
        threads.emplace_back([this, i] {
          SetThreadName(fmt::format("step-{}", i));
          Serve();
        });
      }
    }
    MutexLock lock(mutex_);
    return result_;
  }

 private:
  void RequestStop() {
    stop_.request_stop();
    changed_.NotifyAll();
  }

  void Serve() {
    MutexLock lock(mutex_);
    for (;;) {
      while (ready_.empty() && left_ > 0 && result_.ok()) {
        changed_.Wait(mutex_);
      }
      if (left_ == 0 || !result_.ok()) {
        return;
      }
      const NodeId node = ready_.front();
      ready_.pop_front();
      mutex_.Unlock();
      const Status done = stop_.stop_requested() ? MakeError(StatusCode::kCancelled, "stopped")
                                                 : state_.Execute(node, *this, stop_.get_token());
      mutex_.Lock();
      Note(node, done);
    }
  }

  void Note(NodeId node, const Status& done) EXCLUSIVE_LOCKS_REQUIRED(mutex_) {
    --left_;
    if (!done.ok()) {
      if (result_.ok()) {
        result_ = done;
        if (done.code() != StatusCode::kCancelled) {
          state_.failed = node;
        }
      }
      stop_.request_stop();
    } else {
      done_.insert(node);
      for (const NodeId dependent : dependents_[node]) {
        if (!has_begun_early_.contains(dependent) ||
            plan::BaseOf(state_.graph.nodes[dependent].operation) != node) {
          NoteInput(dependent);
        }
      }
    }
    written_.erase(node);
    changed_.NotifyAll();
  }

  void NoteInput(NodeId dependent) EXCLUSIVE_LOCKS_REQUIRED(mutex_) {
    if (--missing_inputs_[dependent] == 0) {
      ready_.push_back(dependent);
    }
  }

  void OnWritten(NodeId node, const LayerMaker::Written& files) override {
    MutexLock lock(mutex_);
    written_[node] = files;
    for (const NodeId dependent : dependents_[node]) {
      if (OnlyStandsOn(state_.graph.nodes[dependent].operation, node)) {
        has_begun_early_.insert(dependent);
        NoteInput(dependent);
      }
    }
    changed_.NotifyAll();
  }

  std::optional<LayerMaker::Written> Unfinished(NodeId node) override {
    MutexLock lock(mutex_);
    const auto found = written_.find(node);
    return found == written_.end() ? std::nullopt : std::optional(found->second);
  }

  Status WaitFor(NodeId node) override {
    MutexLock lock(mutex_);
    while (!done_.contains(node) && result_.ok()) {
      changed_.Wait(mutex_);
    }
    return done_.contains(node) ? OkStatus() : MakeError(StatusCode::kCancelled, "stopped");
  }

  State& state_;
  std::stop_source stop_;
  Mutex mutex_;  // leaf
  Condition changed_;
  std::deque<NodeId> ready_ GUARDED_BY(mutex_);
  std::map<NodeId, size_t> missing_inputs_ GUARDED_BY(mutex_);
  std::map<NodeId, std::vector<NodeId>> dependents_ GUARDED_BY(mutex_);
  std::map<NodeId, LayerMaker::Written> written_ GUARDED_BY(mutex_);  // and not done
  std::set<NodeId> has_begun_early_ GUARDED_BY(mutex_);               // before its base was done
  std::set<NodeId> done_ GUARDED_BY(mutex_);
  size_t left_ GUARDED_BY(mutex_) = 0;
  Status result_ GUARDED_BY(mutex_);
  std::stop_callback<std::function<void()>> stop_callback_;  // last: it uses the others
};

Builder::Builder(containerd::Client& client, const plan::Graph& graph, BaseImages& images,
                 BuildSettings settings, BuildListener& listener, Progress& pulls)
    : state_(std::make_unique<State>(client, graph, images, std::move(settings), listener, pulls)) {
}

Builder::~Builder() = default;

StatusOr<Tree> Builder::Build(NodeId root, const std::stop_token& stop) {
  state_->failed.reset();
  const std::vector<NodeId> order = plan::NeededBy(state_->graph, root);
  RETURN_IF_ERROR(state_->FindKeys(order, stop));
  ASSIGN_OR_RETURN(const std::vector<NodeId> steps, state_->FindSteps(root, order, stop));
  RETURN_IF_ERROR(Execution(*state_, steps, stop).Finish());
  return state_->nodes[root].tree;
}

StatusOr<std::vector<CachedResult>> Builder::Results(NodeId root, Which which) {
  std::vector<NodeId> wanted;
  if (which == Which::kAll) {
    wanted = plan::NeededBy(state_->graph, root);
  } else {
    for (std::optional<NodeId> node = root; node;
         node = plan::BaseOf(state_->graph.nodes[*node].operation)) {
      wanted.push_back(*node);
    }
  }
  std::vector<CachedResult> results;
  for (const NodeId node : wanted) {
    if (MakesLayer(state_->graph.nodes[node].operation)) {
      ASSIGN_OR_RETURN(std::optional<CachedResult> known,
                       state_->cache.Find(state_->nodes[node].key));
      if (known) {
        results.push_back(*std::move(known));
      }
    }
  }
  return results;
}

const std::map<NodeId, Material>& Builder::Fetched() const { return state_->materials; }

std::vector<Material> Builder::Materials(NodeId root) const {
  return MaterialsOf(state_->graph, root, state_->materials);
}

std::optional<NodeId> Builder::failed_node() const { return state_->failed; }

StatusOr<std::vector<KeyReport>> Builder::Explain(NodeId root, const std::stop_token& stop) {
  const std::vector<NodeId> order = plan::NeededBy(state_->graph, root);
  RETURN_IF_ERROR(state_->FindKeys(order, stop));
  std::vector<KeyReport> reports;
  for (const NodeId node : order) {
    const NodeState& known = state_->nodes[node];
    KeyReport report{.node = node, .key = known.key, .parts = known.parts};
    if (MakesLayer(state_->graph.nodes[node].operation)) {
      ASSIGN_OR_RETURN(const std::optional<CachedResult> hit, state_->cache.Find(known.key));
      report.is_cached = hit && !known.is_forced;
      if (!hit) {
        ASSIGN_OR_RETURN(const std::optional<CachedResult> former,
                         state_->cache.FindByTitle(state_->graph.nodes[node].title));
        if (former) {
          report.has_former = true;
          report.former_parts = former->parts;
        }
      }
    }
    reports.push_back(std::move(report));
  }
  return reports;
}

StatusOr<int> Builder::RunOnce(const Tree& tree, const plan::Run& run,
                               const runc::OnOutput& on_output, const std::stop_token& stop) {
  int exit_code = 0;
  RETURN_IF_ERROR(state_->maker.Try(tree, [&](const StepFiles& files) -> Status {
    const RunSteps::PathOf nothing = [](NodeId) -> StatusOr<std::filesystem::path> {
      return MakeError(StatusCode::kInternal, "no input");
    };
    ASSIGN_OR_RETURN(exit_code, state_->runs.RunOnce(run, files, nothing, on_output, stop));
    return OkStatus();
  }));
  return exit_code;
}

Status Builder::Look(const Tree& tree,
                     const std::function<Status(const std::filesystem::path&)>& look) {
  return state_->maker.Look(tree, look);
}

}  // namespace starling::dockerfile::build
