#include "mount/layer_host.h"

#include <algorithm>
#include <atomic>
#include <chrono>
#include <map>
#include <set>
#include <utility>
#include <vector>

#include "base/log.h"
#include "base/mutex.h"
#include "base/timer.h"
#include "erofs/image_reader.h"
#include "fuse/operations.h"
#include "fuse/session.h"
#include "layer/access_recorder.h"
#include "layer/diff_id.h"
#include "layer/fetch_scheduler.h"
#include "layer/file_names.h"
#include "layer/gzip_index_store.h"
#include "layer/layer_cache.h"
#include "layer/lazy_layer.h"
#include "layer/pins.h"
#include "layer/prefetch_plans.h"
#include "layer/profile_store.h"
#include "layer/run_recordings.h"
#include "layer/slow_reads.h"
#include "layer/status.h"
#include "mount/chain_mount.h"
#include "mount/container_starts.h"
#include "mount/eager_layers.h"
#include "mount/erofs_mount.h"
#include "mount/erofs_plane.h"
#include "mount/held_layer.h"
#include "mount/held_layer_opener.h"
#include "mount/host_status.h"
#include "mount/image_opener.h"
#include "mount/index_finder.h"
#include "mount/layer_origins.h"
#include "mount/layer_places.h"
#include "mount/layer_prefetch.h"
#include "mount/layer_view.h"
#include "mount/room_maker.h"
#include "mount/start_read_ahead.h"
#include "store/layer_store.h"

namespace starling::mount {
namespace {

using layer::LazyLayer;
using store::LayerKey;

/// Layers opened at once: enough to hide the round trips of an image of many layers.
constexpr size_t kOpeners = 16;

/// What one layer may take of the disk: not all, so that the node goes on.
uint64_t BytesToSpare(const std::filesystem::path& root) {
  std::error_code error;
  const std::filesystem::space_info space = std::filesystem::space(root, error);
  return error ? UINT64_MAX : space.available / 10 * 9;
}

/// The node's pins; none of them when their file is damaged, which is kept under another name.
StatusOr<std::unique_ptr<layer::Pins>> OpenPins(const std::filesystem::path& path,
                                                FileSystem& files) {
  auto pins = layer::Pins::Open(path, files);
  if (pins.status().code() != StatusCode::kDataLoss) {
    return pins;
  }
  log::Warning("nothing is pinned any more", {{"error", Describe(pins.status())}});
  RETURN_IF_ERROR(files.Rename(path, path.string() + ".damaged"));
  return layer::Pins::Open(path, files);
}

}  // namespace

void DetachLeftMounts(const std::filesystem::path& root) {
  (void)DetachMountsBelow(root / kMergedChains);
  (void)DetachMountsBelow(root / kErofsLayers);
  for (const std::string_view name : {kPlainLayers, kLayersWithXattrs}) {
    (void)DetachMount(root / name);
  }
}

struct LayerHost::State {
  State(Options options_in, Dependencies dependencies_in)
      : options(std::move(options_in)),
        dependencies(std::move(dependencies_in)),
        profiles(options.profiles.empty() ? options.root / layer::ProfileStore::kDirectoryName
                                          : options.profiles,
                 dependencies.files),
        gzip_indexes(options.gzip_indexes.empty()
                         ? options.root / layer::GzipIndexStore::kDirectoryName
                         : options.gzip_indexes,
                     dependencies.files),
        plain(options.root / kPlainLayers, fuse::Operations::Xattrs::kNone),
        with_xattrs(options.root / kLayersWithXattrs, fuse::Operations::Xattrs::kServed) {}

  /// A layer that is shown, or (without a number) opened ahead.
  struct Shown {
    HeldLayer held;
    std::set<uint64_t> numbers;
  };
  using Network = HeldLayerOpener::Network;

  LayerView& ViewOf(const LazyLayer& layer) {
    return layer.chunks().has_xattrs() ? with_xattrs : plain;
  }
  LayerView::Settings ViewSettings() const {
    return {.fuse_device = options.fuse_device, .threads = options.fuse_threads};
  }
  StatusOr<MountedLayer> Show(uint64_t number, const LayerSpec& asked, Network network);
  StatusOr<HeldLayer> Acquire(uint64_t number, const LayerSpec& spec, Network network);
  void Replace(const HeldLayer& damaged, const HeldLayer& by,
               const std::set<uint64_t>& shown_before);
  std::vector<layer::LayerStatus> Statuses();
  std::vector<layer::FilesOfRange> NamesOf(const LayerKey& key,
                                           std::span<const layer::DataRange> ranges);
  std::vector<layer::ImageStart> Starts();
  std::shared_ptr<LazyLayer> FindOpen(const LayerKey& key);
  void OpenAhead(const LayerSpec& spec);
  void LetGo(const LayerKey& key);
  std::filesystem::path ShowAsMount(uint64_t number, const HeldLayer& held);
  std::filesystem::path DataOverFuse(uint64_t number, const HeldLayer& held) {
    return ViewOf(*held.layer).path() / fuse::DeviceNameOf(number);
  }
  std::optional<std::filesystem::path> ShowChain(std::span<const uint64_t> chain, Reader reader);
  std::optional<std::vector<ChainLayer>> LayersOf(std::span<const uint64_t> chain);
  std::shared_ptr<store::StoredLayer> StoredOf(const LayerKey& key);
  std::shared_ptr<store::StoredLayer> StoredForUse(const LayerKey& key);
  std::set<uint64_t> NumbersOf(const LayerKey& key);
  /// Whether the kernel may read layers without us, once they are complete.
  bool MayUseStored() const { return options.max_store_bytes == 0; }
  void UseStored(const LayerKey& key);
  /// Some of the store is for the others.
  uint64_t StoreBytesForOne() const {
    return options.max_store_bytes == 0 ? UINT64_MAX : options.max_store_bytes / 10 * 9;
  }
  std::vector<layer::LayerCache::OpenLayer> OpenLayers();
  void CheckpointSoon(store::Room::Unsaved unsaved);
  void Checkpoint();
  void UseStoredSoon(const LayerKey& key);
  Status ChoosePlane();
  Status AdoptPlane(const Handover& from);
  Status Serve();
  Status LeaveMounts();
  std::optional<layer::AccessProfile> ProfileOf(const oci::Digest& image);
  void NoteStart(std::span<const uint64_t> chain, Reader reader);
  void FetchForContainers(std::span<const uint64_t> chain);
  void WatchCompletion(const HeldLayer& held);
  void Record(const HeldLayer& held, const LayerSpec& spec);
  Status Hide(uint64_t number, Data data);
  Status Close(const LayerKey& key, HeldLayer held, Data data);
  bool TakeUnshown(const LayerKey& key, HeldLayer& held);

  const Options options;
  const Dependencies dependencies;
  layer::FetchCounters counters;
  MountCounters mount_counters;
  HostStatus host_status{[this] { return Statuses(); },
                         [this](const LayerKey& key, std::span<const layer::DataRange> ranges) {
                           return NamesOf(key, ranges);
                         },
                         [this] { return Starts(); }};
  std::unique_ptr<store::LayerStore> layers;
  std::unique_ptr<layer::LayerCache> cache;
  std::unique_ptr<ThreadPool> cpu;
  std::optional<RoomMaker> room;  // once the store is open; before the timer, which uses it
  ThreadTimer timer;
  std::shared_ptr<layer::FetchScheduler> scheduler;
  layer::ProfileStore profiles;
  std::optional<layer::PrefetchPlans> plans;  // from the start on
  layer::GzipIndexStore gzip_indexes;
  LayerView plain;
  LayerView with_xattrs;
  PlaneChoice plane;
  std::unique_ptr<ErofsPlane> erofs;    // null: FUSE trees
  std::unique_ptr<ChainMounts> chains;  // null as `erofs` is
  bool can_replace = false;             // a mount over FUSE by one of the stored files
  /// What another host left, until it is served: then the sessions have it.
  std::optional<Handover> adopted;
  /// Until then no path below the mounts is used: whoever does waits for this process.
  std::atomic<bool> serves = true;
  /// Replaces mounts: that may wait for reads, so no thread that answers them does it.
  std::unique_ptr<ThreadPool> replacing;
  std::unique_ptr<ThreadPool> openers;
  std::shared_ptr<ImageOpener> opener;
  std::shared_ptr<EagerLayers> eager;
  std::shared_ptr<LayerPlaces> places;
  std::optional<IndexFinder> finder;
  std::optional<HeldLayerOpener> layer_opener;  // from the start on
  std::optional<CommandFiles> commands;         // from the start on
  std::optional<LayerPrefetch> prefetch;        // from the start on
  /// Forces to the disk what came at once and in bulk, while nobody waits for it; and evicts.
  std::unique_ptr<ThreadPool> syncing;
  std::unique_ptr<ThreadPool> reading_ahead;
  std::optional<StartReadAhead> start_read_ahead;    // from the start on
  std::shared_ptr<layer::RunRecordings> recordings;  // null: nothing is recorded
  std::unique_ptr<DiffIdChecks> diff_ids;

  Mutex mutex;  // above a plan's, the prefetch's and the executor's; never held over a call that
                // blocks
  Condition changed;
  /// Layers that a thread opens or closes right now: others that want them wait.
  std::set<LayerKey> busy GUARDED_BY(mutex);
  std::map<LayerKey, Shown> shown GUARDED_BY(mutex);
  std::map<uint64_t, LayerKey> numbers GUARDED_BY(mutex);
  LayerOrigins origins GUARDED_BY(mutex);
  ContainerStarts container_starts GUARDED_BY(mutex);
  bool ends GUARDED_BY(mutex) = false;
};

StatusOr<std::unique_ptr<LayerHost>> LayerHost::Start(Options options, Dependencies dependencies) {
  return StartOrAdopt(std::move(options), std::move(dependencies), std::nullopt);
}

StatusOr<std::unique_ptr<LayerHost>> LayerHost::Adopt(Options options, Dependencies dependencies,
                                                      Handover handover) {
  return StartOrAdopt(std::move(options), std::move(dependencies), std::move(handover));
}

StatusOr<std::unique_ptr<LayerHost>> LayerHost::StartOrAdopt(Options options,
                                                             Dependencies dependencies,
                                                             std::optional<Handover> handover) {
  auto state = std::make_unique<State>(std::move(options), std::move(dependencies));
  RETURN_IF_ERROR(MakeDirectories(state->options.root, 0700));
  state->syncing = std::make_unique<ThreadPool>("sync", 1);
  state->places = LayerPlaces::Make({.places = state->dependencies.blob_places,
                                     .sources = state->dependencies.sources,
                                     .executor = *state->syncing,
                                     .timer = state->timer});
  state->reading_ahead = std::make_unique<ThreadPool>("read-ahead", 1);
  state->start_read_ahead.emplace(StartReadAhead::Dependencies{
      .clock = SystemClock(),
      .disk = *state->reading_ahead,
      .profile_of = [host =
                         state.get()](const oci::Digest& image) { return host->ProfileOf(image); },
      .read_index =
          [host = state.get()](const LayerKey& key) {
            if (const auto stored = host->StoredOf(key)) {
              stored->ReadFilesAhead();
            }
          },
      .read_data =
          [host = state.get()](const LayerKey& key, layer::DataRange range) {
            if (const auto stored = host->StoredOf(key)) {
              stored->ReadAhead(range.data_address, range.size_bytes);
            }
          }});
  UniqueFd lock = handover ? std::move(handover->store_lock) : UniqueFd();
  const std::filesystem::path store_root = state->options.root / "store";
  ASSIGN_OR_RETURN(
      state->layers,
      store::LayerStore::Open(
          store_root, state->dependencies.files,
          {.max_bytes = state->options.max_store_bytes,
           .on_low = [host = state.get()] { host->room->MakeSoon(); },
           .on_unsaved = [host = state.get()](auto unsaved) { host->CheckpointSoon(unsaved); },
           .much_unsaved_bytes = state->options.checkpoint_bytes},
          std::move(lock), [host = state.get()](const LayerKey& key) {
            if (host->start_read_ahead->OnDiskWait(key)) {
              host->scheduler->NoteStart();  // it takes longer than one that finds all in memory
            }
          }));
  ASSIGN_OR_RETURN(auto pins,
                   OpenPins(store_root / layer::Pins::kFileName, state->dependencies.files));
  state->cache = std::make_unique<layer::LayerCache>(
      layer::LayerCache::Dependencies{
          .layers = *state->layers,
          .open_layers = [host = state.get()] { return host->OpenLayers(); },
          .remove = [host = state.get()](const LayerKey& key) -> StatusOr<bool> {
            HeldLayer held;
            if (!host->TakeUnshown(key, held)) {
              return false;
            }
            RETURN_IF_ERROR(host->Close(key, std::move(held), Data::kDiscard));
            return true;
          },
          .now = [host = state.get()] { return host->scheduler->Now(); }},
      std::move(pins));
  state->room.emplace(RoomMaker::Dependencies{
      .held_bytes = [host = state.get()] { return host->layers->room().held_bytes(); },
      .spare_bytes = [host = state.get()] { return BytesToSpare(host->options.root); },
      .evict = [host = state.get()](uint64_t bytes) { return host->cache->MakeRoom(bytes); },
      .max_store_bytes = state->options.max_store_bytes,
      .executor = *state->syncing,
      .timer = state->timer});
  if (handover &&
      !(fuse::Session::IsAlive(handover->plain) && fuse::Session::IsAlive(handover->with_xattrs))) {
    log::Warning("the mounts of the earlier process are gone: everything is mounted anew",
                 {{"root", state->options.root.native()}});
    handover.reset();
  }
  if (!handover) {
    // Now that nobody else uses the root; what is left on FUSE is the sessions' affair.
    RETURN_IF_ERROR(DetachMountsBelow(state->options.root / kMergedChains));
    RETURN_IF_ERROR(DetachMountsBelow(state->options.root / kErofsLayers));
  }
  state->cpu = std::make_unique<ThreadPool>("cpu", state->options.decode_threads);
  const FetchPolicy& policy = state->options.fetch;
  state->scheduler = layer::FetchScheduler::Make(
      {.max_bytes_per_second = policy.max_bytes_per_second,
       .max_background_bytes_per_second = policy.max_background_bytes_per_second,
       .max_bytes_per_second_per_image = policy.max_bytes_per_second_per_image},
      {.clock = SystemClock(), .executor = *state->cpu, .timer = state->timer});
  state->plans.emplace(state->profiles, state->scheduler);
  state->eager = std::make_shared<EagerLayers>(EagerLayers::Dependencies{
      .sources = state->dependencies.sources,
      .ingest =
          {.layers = *state->layers,
           .cpu = *state->cpu,
           .counters = state->counters,
           .scheduler = state->scheduler,
           .keep_description =
               policy.keep_gzip_indexes
                   ? [host = state.get()](
                         auto parts) { host->layer_opener->KeepDescription(std::move(parts)); }
                   : std::function<void(estargz::GzipLayerIndex::Parts)>(),
           .make_room = [host = state.get()](uint64_t bytes) { return host->room->Make(bytes); }},
      .clock = SystemClock(),
      .disk_bytes = [host = state.get()] {
        return std::min(BytesToSpare(host->options.root), host->StoreBytesForOne());
      }});
  state->diff_ids = std::make_unique<DiffIdChecks>(
      DiffIdChecks::Dependencies{.sources = state->dependencies.sources,
                                 .layers = *state->layers,
                                 .files = state->dependencies.files,
                                 .scheduler = state->scheduler,
                                 .counters = state->counters});
  if (policy.record_profiles && !state->dependencies.recorder) {
    state->recordings = std::make_shared<layer::RunRecordings>(
        layer::RunRecordings::Dependencies{.clock = SystemClock(),
                                           .timer = state->timer,
                                           .disk = *state->syncing,
                                           .profiles = state->profiles});
  }
  if (handover) {
    RETURN_IF_ERROR(state->AdoptPlane(*handover));
    state->adopted = std::move(handover);
    state->serves = false;
    state->room->Allow(false);
  } else {
    RETURN_IF_ERROR(state->plain.Start(state->ViewSettings()));
    RETURN_IF_ERROR(state->with_xattrs.Start(state->ViewSettings()));
    RETURN_IF_ERROR(state->ChoosePlane());
  }
  state->openers = std::make_unique<ThreadPool>("open", kOpeners);
  state->opener = std::make_shared<ImageOpener>(ImageOpener::Dependencies{
      .sources = state->dependencies.sources,
      .open = [host = state.get()](const LayerSpec& layer) { host->OpenAhead(layer); },
      .let_go = [host = state.get()](const LayerKey& layer) { host->LetGo(layer); },
      .openers = *state->openers,
      .timer = state->timer,
      .clock = SystemClock()});
  if (state->dependencies.find_gzip_indexes) {
    state->finder.emplace(IndexFinder::Dependencies{
        .find = state->dependencies.find_gzip_indexes,
        .indexes = state->gzip_indexes,
        .found = [host = state.get()](const oci::Digest& layer) { host->eager->Abandon(layer); },
        .executor = *state->openers});
  }
  state->layer_opener.emplace(
      HeldLayerOpener::Dependencies{.sources = state->dependencies.sources,
                                    .recorder = state->dependencies.recorder,
                                    .files = state->dependencies.files,
                                    .layers = *state->layers,
                                    .cpu = *state->cpu,
                                    .disk = *state->syncing,
                                    .counters = state->counters,
                                    .scheduler = state->scheduler,
                                    .gzip_indexes = state->gzip_indexes,
                                    .eager = state->eager,
                                    .places = state->places,
                                    .traces = state->host_status,
                                    .records_runs = state->recordings != nullptr,
                                    .checks_diff_ids = policy.background});
  state->commands.emplace(CommandFiles::Dependencies{.sources = state->dependencies.sources,
                                                     .scheduler = *state->scheduler,
                                                     .executor = *state->openers});
  state->prefetch.emplace(LayerPrefetch::Dependencies{.policy = policy,
                                                      .scheduler = *state->scheduler,
                                                      .plans = *state->plans,
                                                      .commands = *state->commands,
                                                      .layers = *state->layers,
                                                      .disk = *state->syncing});
  return std::unique_ptr<LayerHost>(new LayerHost(std::move(state)));
}

/// Decides between FUSE trees and EROFS by what the kernel does, not by what it is called.
Status LayerHost::State::ChoosePlane() {
  if (options.data_plane == DataPlane::kTree) {
    plane.reason = "as configured";
    return OkStatus();
  }
  if (dependencies.recorder && options.data_plane == DataPlane::kAuto) {
    plane.reason = "the kernel reads ahead over file borders, which would be recorded as need";
    return OkStatus();
  }
  const auto directory = options.root / kErofsLayers;
  ASSIGN_OR_RETURN(erofs, ErofsPlane::Start(directory));
  const ErofsSupport support =
      dependencies.probe(directory, plain.path() / fuse::kProbeName, dependencies.files);
  if (support.over_fuse.ok()) {
    ASSIGN_OR_RETURN(chains, ChainMounts::Start(options.root / kMergedChains, dependencies.files));
    can_replace = support.replacing.ok();
    replacing = std::make_unique<ThreadPool>("mount", 1);
    plane = {.plane = DataPlane::kErofs,
             .reason = can_replace
                           ? "the kernel mounts an index over FUSE and replaces mounts"
                           : fmt::format("the kernel mounts an index over FUSE; what is complete "
                                         "stays there until a restart: {}",
                                         MessageOf(support.replacing))};
    return OkStatus();
  }
  erofs.reset();
  if (options.data_plane == DataPlane::kErofs) {
    return MakeError(StatusCode::kFailedPrecondition,
                     fmt::format("layers cannot be shown by EROFS over FUSE here: {}",
                                 MessageOf(support.over_fuse)));
  }
  plane.reason = fmt::format("no EROFS over FUSE: {}", MessageOf(support.over_fuse));
  return OkStatus();
}

/// What is mounted stays as it is, so no other way of showing layers can be chosen.
Status LayerHost::State::AdoptPlane(const Handover& from) {
  plane = {.plane = from.plane, .reason = "as it was before this process"};
  if (from.plane != DataPlane::kErofs) {
    return OkStatus();
  }
  ASSIGN_OR_RETURN(std::unique_ptr<ErofsPlane> adopted_layers,
                   ErofsPlane::Adopt(options.root / kErofsLayers));
  auto adopted_chains = ChainMounts::Adopt(options.root / kMergedChains, dependencies.files);
  if (!adopted_chains.ok()) {
    adopted_layers->Leave();
    return adopted_chains.status();
  }
  erofs = std::move(adopted_layers);
  chains = *std::move(adopted_chains);
  can_replace = from.can_replace;
  replacing = std::make_unique<ThreadPool>("mount", 1);
  return OkStatus();
}

Status LayerHost::State::Serve() {
  if (serves) {
    return OkStatus();
  }
  RETURN_IF_ERROR(plain.Adopt(ViewSettings(), std::move(adopted->plain)));
  RETURN_IF_ERROR(with_xattrs.Adopt(ViewSettings(), std::move(adopted->with_xattrs)));
  adopted.reset();
  serves = true;
  if (!erofs) {
    room->Allow(true);
    return OkStatus();
  }
  chains->AdoptChains(
      [this](std::span<const uint64_t> numbers_of_chain) { return LayersOf(numbers_of_chain); });
  room->Allow(true);
  std::vector<LayerKey> keys;
  {
    MutexLock lock(mutex);
    for (const auto& [number, key] : numbers) {
      container_starts.Note(number, SystemClock().Now());  // whoever was told its path before
    }
    for (const auto& [key, entry] : shown) {
      keys.push_back(key);
    }
  }
  for (const LayerKey& key : keys) {
    UseStoredSoon(key);  // does nothing for an incomplete one
  }
  return OkStatus();
}

Status LayerHost::State::LeaveMounts() {
  Status first;
  for (LayerView* view : {&plain, &with_xattrs}) {
    first.Update(view->Release());
  }
  if (erofs) {
    chains->Leave();
    erofs->Leave();
  }
  return first;
}

Status LayerHost::Serve() { return state_->Serve(); }

StatusOr<Handover> LayerHost::CopyHandover() const {
  Handover handover{.store_lock = {},
                    .plain = {},
                    .with_xattrs = {},
                    .plane = state_->plane.plane,
                    .can_replace = state_->can_replace};
  ASSIGN_OR_RETURN(handover.store_lock, state_->layers->CopyLock());
  ASSIGN_OR_RETURN(handover.plain, state_->plain.session()->CopyDevice());
  ASSIGN_OR_RETURN(handover.with_xattrs, state_->with_xattrs.session()->CopyDevice());
  return handover;
}

void LayerHost::LeaveFailures() {
  state_->plain.session()->LeaveFailures();
  state_->with_xattrs.session()->LeaveFailures();
}

Status LayerHost::Release() {
  state_->places->Close();
  state_->opener->Stop();
  state_->eager->Close();
  state_->openers.reset();
  {
    MutexLock lock(state_->mutex);
    state_->ends = true;
  }
  // What it does may need our answers, so before those end.
  state_->replacing.reset();
  return state_->LeaveMounts();
}

LayerHost::LayerHost(std::unique_ptr<State> state) : state_(std::move(state)) {}

LayerHost::~LayerHost() {
  if (!state_->serves) {
    (void)state_->LeaveMounts();  // the next to try finds all of them
  }
  state_->places->Close();
  state_->opener->Stop();
  state_->eager->Close();  // an opener may wait for it
  state_->openers.reset();
  std::map<LayerKey, State::Shown> shown;
  {
    MutexLock lock(state_->mutex);
    state_->ends = true;
    shown.swap(state_->shown);
  }
  state_->diff_ids->Close();
  state_->start_read_ahead->Close();
  state_->reading_ahead.reset();
  state_->scheduler->Close();
  if (state_->recordings) {
    state_->recordings->Stop();
  }
  // First the layers, so that nobody waits for the network; they answer from the disk until the
  // end.
  for (const auto& [key, entry] : shown) {
    entry.held.layer->Close();
  }
  state_->cpu.reset();
  state_->syncing.reset();  // after those who call MakeRoomSoon
  state_->replacing.reset();
  state_->chains.reset();
  state_->erofs.reset();  // before FUSE, which must answer the reads that are on their way
  state_->plain.Stop();
  state_->with_xattrs.Stop();
  // What was fetched counts after a reboot, too. While `shown` still holds the layers.
  state_->Checkpoint();
}

StatusOr<MountedLayer> LayerHost::Mount(uint64_t number, const LayerSpec& layer) {
  const auto begun = SystemClock().Now();
  StatusOr<MountedLayer> mounted = state_->Show(number, layer, State::Network::kAllowed);
  MountCounters& counters = state_->mount_counters;
  DurationHistogram& durations = !mounted.ok()       ? counters.failed
                                 : mounted->is_whole ? counters.whole
                                                     : counters.lazy;
  durations.Observe(SystemClock().Now() - begun);
  if (!mounted.ok()) {
    state_->host_status.OnFallback(layer, mounted.status());
    if (const auto code = static_cast<size_t>(mounted.status().code());
        code < counters.failures.size()) {
      counters.failures[code].fetch_add(1, std::memory_order_relaxed);
    }
  }
  return mounted;
}

void LayerHost::BeginAhead(std::span<const LayerSpec> layers) {
  std::vector<LayerSpec> absent;
  for (const LayerSpec& layer : layers) {
    const LayerSpec spec = state_->layer_opener->ByItsDescription(layer);
    if (oci::IsPlain(spec.layer, spec.toc) && !state_->layers->Find(spec.key()).ok()) {
      absent.push_back(spec);
    }
  }
  state_->eager->BeginAhead(absent);
  if (state_->finder && !absent.empty()) {
    state_->finder->Ask(absent.front());
  }
}

StatusOr<MountedLayer> LayerHost::Restore(uint64_t number, const LayerSpec& layer) {
  return state_->Show(number, layer, State::Network::kForbidden);
}

Status LayerHost::Unmount(uint64_t number, Data data) { return state_->Hide(number, data); }

void LayerHost::OpenAhead(std::vector<LayerSpec> layers) {
  for (LayerSpec& layer : layers) {
    layer = state_->layer_opener->ByItsDescription(std::move(layer));
  }
  state_->opener->OpenAll(std::move(layers));
}

Status LayerHost::DiscardUnshown() {
  ASSIGN_OR_RETURN(const std::vector<LayerKey> stored, state_->layers->List());
  Status first;
  for (const LayerKey& key : stored) {
    HeldLayer held;
    if (state_->TakeUnshown(key, held)) {
      first.Update(state_->Close(key, std::move(held), Data::kDiscard));
    }
  }
  return first;
}

std::optional<std::filesystem::path> LayerHost::ShowChain(std::span<const uint64_t> numbers,
                                                          Reader reader) {
  return state_->ShowChain(numbers, reader);
}

void LayerHost::OnComplete(const store::LayerKey& key) { state_->UseStoredSoon(key); }

DiffIdState LayerHost::diff_id_state(uint64_t number) const {
  LayerKey key;
  {
    MutexLock lock(state_->mutex);
    const auto found = state_->numbers.find(number);
    if (found == state_->numbers.end()) {
      return DiffIdState::kUnknown;
    }
    key = found->second;
  }
  return state_->diff_ids->state(key);
}

const PlaneChoice& LayerHost::data_plane() const { return state_->plane; }

HostCounters LayerHost::counters() const {
  return {.blob_requests = state_->counters.requests.load(),
          .blob_bytes = state_->counters.bytes.load()};
}

const layer::FetchCounters& LayerHost::fetch_counters() const { return state_->counters; }

const MountCounters& LayerHost::mount_counters() const { return state_->mount_counters; }

HostState LayerHost::state() const {
  const store::Room& room = state_->layers->room();
  HostState now{.disk_bytes = room.held_bytes(), .max_disk_bytes = room.max_bytes()};
  for (size_t i = 0; i < now.in_flight.size(); ++i) {
    now.in_flight[i] = state_->scheduler->InFlightOf(layer::kScheduledPurposes[i]);
  }
  std::vector<uint64_t> shown_numbers;
  {
    MutexLock lock(state_->mutex);
    now.images = state_->origins.image_count();
    for (const auto& [key, entry] : state_->shown) {
      ++(entry.numbers.empty() ? now.waiting_layers : now.shown_layers);
      now.complete_layers += entry.held.stored->complete() ? 1 : 0;
      now.held_bytes += entry.held.layer->present_bytes();
      now.total_bytes += entry.held.layer->content_bytes();
      shown_numbers.insert(shown_numbers.end(), entry.numbers.begin(), entry.numbers.end());
    }
  }
  for (const uint64_t number : shown_numbers) {
    if (!state_->erofs || !state_->erofs->Find(number)) {
      ++now.trees;
    } else {
      ++(state_->erofs->UsesStored(number) ? now.erofs_stored : now.erofs_over_fuse);
    }
  }
  now.merged_chains = state_->chains ? state_->chains->count() : 0;
  return now;
}

layer::Cache& LayerHost::cache() { return *state_->cache; }

layer::StatusSource& LayerHost::status() { return state_->host_status; }

/// Of the layers that are shown, without the names of their worst reads.
std::vector<layer::LayerStatus> LayerHost::State::Statuses() {
  struct Known {
    HeldLayer held;
    uint64_t number = 0;
  };
  std::map<uint64_t, Known> by_number;
  std::map<LayerKey, std::set<std::string>> images;
  for (layer::LayerCache::OpenLayer& open : OpenLayers()) {
    images[open.layer->key()] = std::move(open.images);
  }
  {
    MutexLock lock(mutex);
    for (const auto& [key, entry] : shown) {
      if (!entry.numbers.empty()) {
        const uint64_t number = *entry.numbers.begin();
        by_number[number] = {.held = entry.held, .number = number};
      }
    }
  }
  std::vector<layer::LayerStatus> statuses;
  for (const auto& [number, known] : by_number) {
    LazyLayer& layer = *known.held.layer;
    const std::set<std::string>& of_layer = images[layer.key()];
    statuses.push_back({.key = layer.key(),
                        .number = number,
                        .images = {of_layer.begin(), of_layer.end()},
                        .is_whole = layer.chunks().codec() == layer::Codec::kWhole,
                        .is_complete = known.held.stored->complete(),
                        .is_unseen = erofs && erofs->UsesStored(number),
                        .is_new = known.held.is_new,
                        .decision = prefetch->DecisionOf(layer.key()),
                        .use = layer.Use(),
                        .worst_reads = {},
                        .places = layer.SourcesHealth(),
                        .credentials = {}});
    for (const std::string& image : of_layer) {
      const auto source =
          dependencies.credentials_of ? dependencies.credentials_of(image) : std::nullopt;
      if (source) {
        statuses.back().credentials.emplace(image, *source);
      }
    }
  }
  return statuses;
}

/// Without names for a layer that is not open any more.
std::vector<layer::FilesOfRange> LayerHost::State::NamesOf(
    const LayerKey& key, std::span<const layer::DataRange> ranges) {
  const std::shared_ptr<LazyLayer> layer = FindOpen(key);
  std::vector<layer::FilesOfRange> files;
  if (layer) {
    files = layer::FindFiles(layer->index(), ranges);
  }
  // A name that the disk did not give is none.
  return layer && layer->CheckFiles().ok() ? files
                                           : std::vector<layer::FilesOfRange>(ranges.size());
}

std::shared_ptr<LazyLayer> LayerHost::State::FindOpen(const LayerKey& key) {
  MutexLock lock(mutex);
  const auto found = shown.find(key);
  return found == shown.end() ? nullptr : found->second.held.layer;
}

std::vector<layer::ImageStart> LayerHost::State::Starts() {
  if (!recordings) {
    return {};
  }
  std::map<std::string, std::set<LayerKey>> of_images;
  for (const layer::LayerCache::OpenLayer& open : OpenLayers()) {
    for (const std::string& image : open.images) {
      of_images[image].insert(open.layer->key());
    }
  }
  const layer::RecentFetches::All fetches = host_status.fetches()->List();
  const layer::SlowReads::Trace slow_reads = host_status.slow_reads()->List();
  std::vector<layer::ImageStart> starts;
  for (layer::RecordedRun& run : recordings->Runs()) {
    layer::NotesOfStart notes{
        .run = {},
        .layers = of_images[run.image],
        .fetches = fetches,
        .slow_reads = slow_reads,
        .names_of = [this](
                        const LayerKey& key,
                        std::span<const layer::DataRange> ranges) { return NamesOf(key, ranges); },
        .files_of =
            [this](const layer::LayerAccess& access) {
              const std::shared_ptr<LazyLayer> layer = FindOpen(access.key);
              auto files = layer ? layer::FindNeededFiles(layer->index(), access.ranges)
                                 : std::vector<layer::NeededFile>();
              return layer && layer->CheckFiles().ok() ? files : std::vector<layer::NeededFile>();
            }};
    notes.layers.insert(run.layers.begin(), run.layers.end());
    notes.run = std::move(run);
    starts.push_back(layer::StartOf(notes));
  }
  return starts;
}

StatusOr<MountedLayer> LayerHost::State::Show(uint64_t number, const LayerSpec& asked,
                                              Network network) {
  LayerSpec spec = layer_opener->ByItsDescription(asked);
  if (spec.toc.empty()) {
    return MakeError(StatusCode::kInvalidArgument,
                     "the layer has no TOC digest, so its bytes could not be verified");
  }
  StatusOr<HeldLayer> acquired = Acquire(number, spec, network);
  if (acquired.status().code() == StatusCode::kAborted) {
    // A description of it was found meanwhile.
    spec = layer_opener->ByItsDescription(asked);
    acquired = Acquire(number, spec, network);
  }
  ASSIGN_OR_RETURN(const HeldLayer held, std::move(acquired));
  LazyLayer& layer = *held.layer;
  places->Add(held.layer, spec);
  {
    MutexLock lock(mutex);
    origins.Set(number, spec);
  }
  if (Status status = ViewOf(layer).layers().Add(number, held.layer); !status.ok()) {
    (void)Hide(number, Data::kKeep);  // the first error is the one to tell
    return status;
  }
  diff_ids->Expect(spec);
  WatchCompletion(held);
  if (prefetch->NoteReader(spec, NumbersOf(spec.key()).size() == 1)) {
    layer.HoldReadahead(true);
    if (network == Network::kAllowed) {
      prefetch->BeginStartFiles(held, spec);
    }
  } else {
    prefetch->FetchForContainers(held, spec);
    if (network == Network::kAllowed) {
      Record(held, spec);
    }
  }
  return MountedLayer{.number = number,
                      .path = ShowAsMount(number, held),
                      .data_bytes = layer.chunks().data_size_bytes(),
                      .inodes = layer.index().inode_count(),
                      .is_whole = layer.chunks().codec() == layer::Codec::kWhole};
}

/// Mounts the layer's index if that is how layers are shown; else, and when it fails, the
/// directory on FUSE that is there anyway. Returns the layer's root.
std::filesystem::path LayerHost::State::ShowAsMount(uint64_t number, const HeldLayer& held) {
  if (const auto kept = erofs ? erofs->Find(number) : std::nullopt) {  // an adopted one
    if (erofs->UsesStored(number)) {
      held.stored->Pin();  // also where a cap came since, or a chunk was dropped since
    }
    return *kept;
  }
  // An adopted layer that has no such mount was a tree before, too.
  const bool is_complete = erofs && MayUseStored() && held.stored->PinIfComplete();
  if (erofs && (serves || is_complete)) {
    const auto path =
        erofs->Show(number,
                    {.index = held.stored->index_path(),
                     .data = {is_complete ? held.stored->data_path() : DataOverFuse(number, held)}},
                    is_complete ? ErofsPlane::Data::kStored : ErofsPlane::Data::kOverFuse);
    if (path.ok()) {
      if (is_complete && recordings) {
        recordings->GoesUnseen(held.stored->key());
      }
      // The last bytes may have come after the question and before there was a mount to replace.
      if (!is_complete && held.stored->complete()) {
        UseStored(held.stored->key());
      }
      return *path;
    }
    log::Warning("a layer is shown as a FUSE tree", {{"layer", held.stored->key().layer.ToString()},
                                                     {"error", Describe(path.status())}});
  }
  return ViewOf(*held.layer).path() / fuse::DirectoryNameOf(number);
}

/// What is open, with the images that need it.
std::vector<layer::LayerCache::OpenLayer> LayerHost::State::OpenLayers() {
  std::vector<layer::LayerCache::OpenLayer> open;
  MutexLock lock(mutex);
  std::map<uint64_t, std::set<std::string>> images = origins.ImagesByNumber();
  for (const auto& [key, entry] : shown) {
    layer::LayerCache::OpenLayer layer{
        .layer = entry.held.layer, .is_shown = !entry.numbers.empty(), .images = {}};
    for (const uint64_t number : entry.numbers) {
      layer.images.merge(images[number]);
    }
    open.push_back(std::move(layer));
  }
  return open;
}

/// Something was put that a loss of power would take. Called by who puts chunks.
void LayerHost::State::CheckpointSoon(store::Room::Unsaved unsaved) {
  MutexLock lock(mutex);
  if (ends) {
    return;  // the end makes one
  }
  if (unsaved == store::Room::Unsaved::kMuch) {
    syncing->Post([this] { Checkpoint(); });
  } else {
    timer.RunAfter(options.checkpoint_interval, [this] {
      MutexLock timer_lock(mutex);
      if (!ends) {
        syncing->Post([this] { Checkpoint(); });
      }
    });
  }
}

void LayerHost::State::Checkpoint() {
  if (const Status kept = layers->Checkpoint(); !kept.ok()) {
    log::Warning("layers' data may have to be fetched again after a reboot",
                 {{"error", Describe(kept)}});
  }
}

/// The layer's files if it is shown, else null.
std::shared_ptr<store::StoredLayer> LayerHost::State::StoredOf(const LayerKey& key) {
  MutexLock lock(mutex);
  const auto found = shown.find(key);
  return found == shown.end() ? nullptr : found->second.held.stored;
}

/// The same where the kernel may read them without us.
std::shared_ptr<store::StoredLayer> LayerHost::State::StoredForUse(const LayerKey& key) {
  return MayUseStored() ? StoredOf(key) : nullptr;
}

/// Shows a complete layer from its files alone, under all of its numbers.
void LayerHost::State::UseStored(const LayerKey& key) {
  const std::shared_ptr<store::StoredLayer> stored = StoredForUse(key);
  if (!can_replace || !stored || !stored->PinIfComplete()) {
    return;
  }
  if (recordings) {
    recordings->GoesUnseen(key);
  }
  for (const uint64_t number : NumbersOf(key)) {
    const Status status =
        erofs->UseStored(number, {.index = stored->index_path(), .data = {stored->data_path()}});
    if (!status.ok()) {
      log::Warning("a complete layer goes on over FUSE",
                   {{"layer", key.layer.ToString()}, {"error", Describe(status)}});
    }
    chains->UseStored(number);
  }
}

/// The layers of a chain; nothing when one of them is not shown.
std::optional<std::vector<ChainLayer>> LayerHost::State::LayersOf(std::span<const uint64_t> chain) {
  std::vector<ChainLayer> found_layers;
  MutexLock lock(mutex);
  for (const uint64_t number : chain) {
    const auto key = numbers.find(number);
    const auto found = key == numbers.end() ? shown.end() : shown.find(key->second);
    if (found == shown.end()) {
      return std::nullopt;
    }
    const HeldLayer& held = found->second.held;
    found_layers.push_back({.number = number,
                            .stored = held.stored,
                            .data_over_fuse = DataOverFuse(number, held),
                            .may_use_stored = MayUseStored()});
  }
  return found_layers;
}

std::optional<std::filesystem::path> LayerHost::State::ShowChain(std::span<const uint64_t> chain,
                                                                 Reader reader) {
  if (reader == Reader::kContainer) {
    FetchForContainers(chain);
  }
  NoteStart(chain, reader);
  if (!chains || chain.empty() || chain.size() < options.merge_from_layers) {
    return std::nullopt;
  }
  const auto merged = LayersOf(chain);
  if (!merged) {
    return std::nullopt;
  }
  const auto path = chains->Show(*merged);
  if (!LayersOf(chain)) {
    // One was hidden meanwhile, perhaps before there was a chain to hide with it.
    chains->HideThoseWith(chain.back());
    return std::nullopt;
  }
  return path;
}

void LayerHost::State::NoteStart(std::span<const uint64_t> chain, Reader reader) {
  bool starts_again = false;
  std::optional<oci::Digest> manifest;
  std::vector<LayerKey> keys;
  {
    MutexLock lock(mutex);
    const auto now = SystemClock().Now();
    for (const uint64_t number : chain) {
      if (const auto key = numbers.find(number); key != numbers.end()) {
        starts_again = container_starts.Note(number, now) || starts_again;
        manifest = origins.ManifestOf(number);  // the last one's: others may stand on those below
        keys.push_back(key->second);
      }
    }
  }
  if (manifest && reader == Reader::kContainer) {
    start_read_ahead->OnStart(*manifest, std::move(keys));
  }
  if (starts_again) {
    // What it needs is held. At a first start background work may yet bring some of that.
    scheduler->NoteStart();
  }
}

/// What the node's runs of the image needed, as far as that is known yet.
std::optional<layer::AccessProfile> LayerHost::State::ProfileOf(const oci::Digest& image) {
  if (auto kept = profiles.Find(image); kept.ok()) {
    return *std::move(kept);
  }
  return recordings ? recordings->NeedsSoFar(image) : std::nullopt;
}

/// Before a container is started on these layers, also those that were mounted for builds.
void LayerHost::State::FetchForContainers(std::span<const uint64_t> chain) {
  std::vector<std::pair<HeldLayer, LayerSpec>> woken;
  {
    MutexLock lock(mutex);
    for (const uint64_t number : chain) {
      const auto key = numbers.find(number);
      const auto found = key == numbers.end() ? shown.end() : shown.find(key->second);
      if (found == shown.end()) {
        continue;
      }
      if (auto spec = prefetch->TakeFromBuilds(key->second)) {
        woken.emplace_back(found->second.held, *std::move(spec));
      }
    }
  }
  for (const auto& [held, spec] : woken) {
    prefetch->FetchForContainers(held, spec);
  }
}

void LayerHost::State::UseStoredSoon(const LayerKey& key) {
  const std::set<uint64_t> shown_as = NumbersOf(key);
  std::chrono::milliseconds grace(0);
  MutexLock lock(mutex);
  if (!can_replace || !serves || ends) {
    return;
  }
  for (const uint64_t number : shown_as) {
    if (const auto at = container_starts.Latest(number)) {
      grace = std::max(grace, std::chrono::ceil<std::chrono::milliseconds>(
                                  *at + options.mount_grace - SystemClock().Now()));
    }
  }
  if (grace.count() > 0) {
    timer.RunAfter(grace, [this, key] { UseStoredSoon(key); });
  } else {
    replacing->Post([this, key] { UseStored(key); });
  }
}

std::set<uint64_t> LayerHost::State::NumbersOf(const LayerKey& key) {
  MutexLock lock(mutex);
  const auto found = shown.find(key);
  return found == shown.end() ? std::set<uint64_t>() : found->second.numbers;
}

/// The one object of the layer, shared by all numbers, with `number` registered.
StatusOr<HeldLayer> LayerHost::State::Acquire(uint64_t number, const LayerSpec& spec,
                                              Network network) {
  const LayerKey key = spec.key();
  HeldLayer damaged;  // what is shown of it, if its files cannot be read any more
  bool is_shown = false;
  std::shared_ptr<store::StoredLayer> stored;
  {
    MutexLock lock(mutex);
    if (!numbers.try_emplace(number, key).second) {
      return MakeError(StatusCode::kAlreadyExists,
                       fmt::format("layer number {} is in use", number));
    }
    const auto found = shown.find(key);
    is_shown = found != shown.end() && !found->second.numbers.empty();
    stored = is_shown ? found->second.held.stored : nullptr;
  }
  if (stored) {
    stored->TouchFiles();  // with EROFS, the kernel alone reads the index
  }
  // Before its own opening, which need not wait for the others. A layer that is shown already says
  // nothing about those above it.
  const bool is_promised =
      !oci::IsPlain(spec.layer, spec.toc) && spec.toc_of != oci::TocDigestOf::kGzipIndex;
  if (network == Network::kAllowed && !is_shown && is_promised) {
    opener->Ask(spec);
  }
  {
    MutexLock lock(mutex);
    while (busy.contains(key)) {
      changed.Wait(mutex);
    }
    if (const auto found = shown.find(key); found != shown.end()) {
      if (network == Network::kForbidden || found->second.held.stored->CheckFiles().ok()) {
        found->second.numbers.insert(number);
        return found->second.held;
      }
      damaged = found->second.held;
    }
    busy.insert(key);
  }
  StatusOr<HeldLayer> held = damaged.stored ? layer_opener->OpenAnew(*damaged.stored, spec)
                                            : layer_opener->Open(spec, network);
  std::set<uint64_t> shown_before;
  {
    MutexLock lock(mutex);
    busy.erase(key);
    if (held.ok()) {
      Shown& entry = shown[key];
      shown_before = entry.numbers;
      entry.held = *held;
      entry.numbers.insert(number);
    } else {
      numbers.erase(number);
    }
  }
  changed.NotifyAll();
  if (held.ok() && damaged.layer) {
    Replace(damaged, *held, shown_before);
  }
  return held;
}

/// Shows the layer under `shown_before` from other files. Who uses a mount of EROFS keeps that.
void LayerHost::State::Replace(const HeldLayer& damaged, const HeldLayer& by,
                               const std::set<uint64_t>& shown_before) {
  const LayerKey key = by.stored->key();
  diff_ids->Forget(key);
  if (recordings) {
    recordings->Gone(key);
  }
  for (const uint64_t number : shown_before) {
    ViewOf(*by.layer).layers().Replace(number, by.layer);
    const Status status = erofs && can_replace
                              ? erofs->Replace(number, {.index = by.stored->index_path(),
                                                        .data = {DataOverFuse(number, by)}})
                              : OkStatus();
    if (!status.ok()) {
      log::Warning("a layer stays mounted with damaged files",
                   {{"layer", key.layer.ToString()}, {"error", Describe(status)}});
    }
  }
  damaged.layer->Close();
}

/// Opens a layer for whoever mounts it next, unless that happens already, and begins its prefetch.
/// Its failure is not told: who mounts it tries again and meets the reason.
void LayerHost::State::OpenAhead(const LayerSpec& spec) {
  const LayerKey key = spec.key();
  {
    MutexLock lock(mutex);
    if (shown.contains(key) || !busy.insert(key).second) {
      return;
    }
  }
  const StatusOr<HeldLayer> held = layer_opener->Open(spec, Network::kAllowed);
  if (held.ok()) {
    places->Add(held->layer, spec);
    if (spec.reader == Reader::kContainer) {
      prefetch->Begin(*held, spec);
    } else {
      prefetch->BeginStartFiles(*held, spec);
    }
  }
  {
    MutexLock lock(mutex);
    busy.erase(key);
    if (held.ok()) {
      shown[key] = {.held = *held, .numbers = {}};
    }
  }
  changed.NotifyAll();
}

/// Drops a layer that was opened ahead and that nobody mounted.
void LayerHost::State::LetGo(const LayerKey& key) {
  HeldLayer held;
  if (!TakeUnshown(key, held)) {
    return;
  }
  log::Debug("a layer that was opened ahead is let go", {{"layer", key.layer.ToString()}});
  if (const Status status = Close(key, std::move(held), Data::kDiscard); !status.ok()) {
    log::Warning("a layer's data stays on the disk until the next start",
                 {{"layer", key.layer.ToString()}, {"error", Describe(status)}});
  }
}

/// Makes the caller the only one who has to do with a layer that no number shows, until its Close.
/// `held` is what was opened of it. False when somebody shows, opens or closes it.
bool LayerHost::State::TakeUnshown(const LayerKey& key, HeldLayer& held) {
  MutexLock lock(mutex);
  const auto found = shown.find(key);
  if (busy.contains(key) || (found != shown.end() && !found->second.numbers.empty())) {
    return false;
  }
  busy.insert(key);
  if (found != shown.end()) {
    held = std::move(found->second.held);
    shown.erase(found);
  }
  return true;
}

/// What is to be done when everything is there.
void LayerHost::State::WatchCompletion(const HeldLayer& held) {
  LazyLayer& layer = *held.layer;
  const bool is_checked = options.fetch.background && layer::HasDiffId(layer.chunks());
  layer.WhenComplete([this, key = layer.key(), is_checked,
                      complete = DiffIdChecks::Layer{
                          .layer = held.layer, .stored = held.stored, .gaps = held.gaps}] {
    log::Debug("layer is complete", {{"layer", key.layer.ToString()}});
    UseStoredSoon(key);
    if (is_checked) {
      diff_ids->Check(complete);
    }
  });
}

/// From its first Mount: a restart shows what has run before. Of a layer that is fetched as a whole
/// it does not matter what is needed first.
void LayerHost::State::Record(const HeldLayer& held, const LayerSpec& spec) {
  const layer::ChunkTable& table = held.layer->chunks();
  if (recordings && spec.manifest && table.codec() != layer::Codec::kWhole) {
    recordings->Begin(*spec.manifest, {.key = held.layer->key(),
                                       .table = table,
                                       .owner = held.stored,
                                       .tap = held.tap,
                                       .image = spec.image});
  }
}

Status LayerHost::State::Hide(uint64_t number, Data data) {
  LayerKey key;
  HeldLayer held;
  bool is_last = false;
  {
    MutexLock lock(mutex);
    const auto found = numbers.find(number);
    const auto entry = found == numbers.end() ? shown.end() : shown.find(found->second);
    if (entry == shown.end() || entry->second.numbers.erase(number) == 0) {
      return MakeError(StatusCode::kNotFound, fmt::format("no layer has the number {}", number));
    }
    key = found->second;
    numbers.erase(found);
    origins.Erase(number);
    container_starts.Forget(number);
    held = entry->second.held;
    is_last = entry->second.numbers.empty();
    if (is_last) {
      shown.erase(entry);
      busy.insert(key);
    }
  }
  LayerView& view = ViewOf(*held.layer);
  if (is_last) {
    diff_ids->Forget(key);
    if (recordings) {
      recordings->Gone(key);
    }
    held.layer->Close();  // before the kernel drops its pages: it waits for reads on their way
  }
  if (erofs) {
    chains->HideThoseWith(number);
    erofs->Hide(number);
  }
  view.layers().Remove(number);
  if (view.session() != nullptr) {
    view.session()->ForgetLayer(number);
  }
  return is_last ? Close(key, std::move(held), data) : OkStatus();
}

/// Closes a layer that is busy, and ends that.
Status LayerHost::State::Close(const LayerKey& key, HeldLayer held, Data data) {
  if (held.layer) {
    held.layer->Close();
  }
  held = {};
  const Status status = data == Data::kDiscard ? layers->Remove(key) : OkStatus();
  prefetch->Forget(key);  // before somebody opens it again
  {
    MutexLock lock(mutex);
    busy.erase(key);
  }
  changed.NotifyAll();
  return status;
}

}  // namespace starling::mount
