#include "mount/layer_host.h"

#include <malloc.h>

#include <map>
#include <set>
#include <utility>

#include "base/log.h"
#include "base/mutex.h"
#include "base/timer.h"
#include "erofs/image_reader.h"
#include "fuse/layer_table.h"
#include "fuse/operations.h"
#include "fuse/session.h"
#include "layer/fetch_scheduler.h"
#include "layer/layer_opener.h"
#include "layer/lazy_layer.h"
#include "oci/reference.h"
#include "store/layer_store.h"

namespace starling::mount {
namespace {

using layer::LazyLayer;
using store::LayerKey;

/// One mount with the layers in it.
struct View {
  View(std::filesystem::path mount_point, fuse::Operations::Xattrs xattrs)
      : path(std::move(mount_point)), operations(layers, xattrs) {}

  Status Start(const LayerHost::Options& options) {
    RETURN_IF_ERROR(MakeDirectories(path, 0755));
    ASSIGN_OR_RETURN(session, fuse::Session::Mount({.mount_point = path,
                                                    .device = options.fuse_device,
                                                    .threads = options.fuse_threads},
                                                   operations));
    return OkStatus();
  }

  const std::filesystem::path path;
  fuse::LayerTable layers;
  const fuse::Operations operations;
  std::unique_ptr<fuse::Session> session;
};

/// A blob with the source that it may need.
std::shared_ptr<oci::BlobReader> KeepTogether(std::shared_ptr<oci::ImageSource> source,
                                              std::shared_ptr<oci::BlobReader> reader) {
  using Both = std::pair<std::shared_ptr<oci::ImageSource>, std::shared_ptr<oci::BlobReader>>;
  const auto both = std::make_shared<Both>(std::move(source), std::move(reader));
  return {both, both->second.get()};
}

/// Images of one registry share its link.
std::string HostOf(const std::string& image) {
  const StatusOr<oci::Reference> reference = oci::Reference::Parse(image);
  return reference.ok() ? std::string(reference->domain()) : image;
}

layer::LazyLayer::BlobSource SourceOf(const LayerHost::Dependencies& dependencies,
                                      const LayerSpec& spec, uint64_t size_bytes) {
  oci::Descriptor blob;
  blob.media_type = oci::media_type::kOciLayerGzip;
  blob.digest = spec.layer;
  blob.size_bytes = size_bytes;
  return [sources = dependencies.sources, image = spec.image,
          blob]() -> StatusOr<std::shared_ptr<oci::BlobReader>> {
    ASSIGN_OR_RETURN(const std::shared_ptr<oci::ImageSource> source, sources(image));
    ASSIGN_OR_RETURN(std::shared_ptr<oci::BlobReader> reader, source->BlobAt(blob));
    return KeepTogether(source, std::move(reader));
  };
}

}  // namespace

struct LayerHost::State {
  State(Options options_in, Dependencies dependencies_in)
      : options(std::move(options_in)),
        dependencies(std::move(dependencies_in)),
        plain(options.root / kPlainLayers, fuse::Operations::Xattrs::kNone),
        with_xattrs(options.root / kLayersWithXattrs, fuse::Operations::Xattrs::kServed) {}

  /// A layer that is shown, under at least one number.
  struct Shown {
    std::shared_ptr<LazyLayer> layer;
    std::set<uint64_t> numbers;
  };
  enum class Network { kAllowed, kForbidden };

  View& ViewOf(const LazyLayer& layer) { return layer.chunks().has_xattrs() ? with_xattrs : plain; }
  StatusOr<MountedLayer> Show(uint64_t number, const LayerSpec& spec, Network network);
  StatusOr<std::shared_ptr<LazyLayer>> Acquire(uint64_t number, const LayerSpec& spec,
                                               Network network);
  StatusOr<std::shared_ptr<LazyLayer>> OpenLayer(const LayerSpec& spec, Network network);
  void FetchAhead(LazyLayer& layer, const LayerSpec& spec) const;
  Status Hide(uint64_t number, Data data);

  const Options options;
  const Dependencies dependencies;
  layer::FetchCounters counters;
  std::unique_ptr<store::LayerStore> layers;
  std::unique_ptr<ThreadPool> cpu;
  ThreadTimer timer;
  std::shared_ptr<layer::FetchScheduler> scheduler;
  View plain;
  View with_xattrs;

  Mutex mutex;  // leaf; never held over a call that blocks
  Condition changed;
  /// Layers that a thread opens or closes right now: others that want them wait.
  std::set<LayerKey> busy GUARDED_BY(mutex);
  std::map<LayerKey, Shown> shown GUARDED_BY(mutex);
  std::map<uint64_t, LayerKey> numbers GUARDED_BY(mutex);
};

StatusOr<std::unique_ptr<LayerHost>> LayerHost::Start(Options options, Dependencies dependencies) {
  auto state = std::make_unique<State>(std::move(options), std::move(dependencies));
  RETURN_IF_ERROR(MakeDirectories(state->options.root, 0700));
  ASSIGN_OR_RETURN(state->layers, store::LayerStore::Open(state->options.root / "store",
                                                          state->dependencies.files));
  state->cpu = std::make_unique<ThreadPool>("cpu", state->options.decode_threads);
  const FetchPolicy& policy = state->options.fetch;
  state->scheduler = layer::FetchScheduler::Make(
      {.max_bytes_per_second = policy.max_bytes_per_second,
       .max_background_bytes_per_second = policy.max_background_bytes_per_second},
      {.clock = SystemClock(), .executor = *state->cpu, .timer = state->timer});
  RETURN_IF_ERROR(state->plain.Start(state->options));
  RETURN_IF_ERROR(state->with_xattrs.Start(state->options));
  return std::unique_ptr<LayerHost>(new LayerHost(std::move(state)));
}

LayerHost::LayerHost(std::unique_ptr<State> state) : state_(std::move(state)) {}

LayerHost::~LayerHost() {
  std::map<LayerKey, State::Shown> shown;
  {
    MutexLock lock(state_->mutex);
    shown.swap(state_->shown);
  }
  state_->scheduler->Close();
  // First the layers, so that nobody waits for the network; they answer from the disk until the
  // end.
  for (const auto& [key, entry] : shown) {
    entry.layer->Close();
  }
  state_->plain.session.reset();
  state_->with_xattrs.session.reset();
  state_->cpu.reset();
  // What was fetched counts after a reboot, too. While `shown` still holds the layers.
  const Status kept = state_->layers->Checkpoint();
  if (!kept.ok()) {
    log::Warning("layers' data may have to be fetched again after a reboot",
                 {{"error", Describe(kept)}});
  }
}

StatusOr<MountedLayer> LayerHost::Mount(uint64_t number, const LayerSpec& layer) {
  return state_->Show(number, layer, State::Network::kAllowed);
}

StatusOr<MountedLayer> LayerHost::Restore(uint64_t number, const LayerSpec& layer) {
  return state_->Show(number, layer, State::Network::kForbidden);
}

Status LayerHost::Unmount(uint64_t number, Data data) { return state_->Hide(number, data); }

HostCounters LayerHost::counters() const {
  return {.blob_requests = state_->counters.requests.load(),
          .blob_bytes = state_->counters.bytes.load()};
}

StatusOr<MountedLayer> LayerHost::State::Show(uint64_t number, const LayerSpec& spec,
                                              Network network) {
  if (spec.toc.empty()) {
    return MakeError(StatusCode::kInvalidArgument,
                     "the layer has no TOC digest, so its bytes could not be verified");
  }
  ASSIGN_OR_RETURN(const std::shared_ptr<LazyLayer> layer, Acquire(number, spec, network));
  layer->AddSource(spec.image, HostOf(spec.image),
                   SourceOf(dependencies, spec, layer->chunks().blob_size_bytes()));
  View& view = ViewOf(*layer);
  if (Status status = view.layers.Add(number, layer); !status.ok()) {
    (void)Hide(number, Data::kKeep);  // the first error is the one to tell
    return status;
  }
  FetchAhead(*layer, spec);
  return MountedLayer{.number = number,
                      .path = view.path / std::to_string(number),
                      .data_bytes = layer->chunks().data_size_bytes(),
                      .inodes = layer->index().inode_count()};
}

/// The one object of the layer, shared by all numbers, with `number` registered.
StatusOr<std::shared_ptr<LazyLayer>> LayerHost::State::Acquire(uint64_t number,
                                                               const LayerSpec& spec,
                                                               Network network) {
  const LayerKey key{.layer = spec.layer, .toc = spec.toc};
  {
    MutexLock lock(mutex);
    if (!numbers.try_emplace(number, key).second) {
      return MakeError(StatusCode::kAlreadyExists,
                       fmt::format("layer number {} is in use", number));
    }
    while (busy.contains(key)) {
      changed.Wait(mutex);
    }
    if (const auto found = shown.find(key); found != shown.end()) {
      found->second.numbers.insert(number);
      return found->second.layer;
    }
    busy.insert(key);
  }
  StatusOr<std::shared_ptr<LazyLayer>> layer = OpenLayer(spec, network);
  {
    MutexLock lock(mutex);
    busy.erase(key);
    if (layer.ok()) {
      shown[key] = {.layer = *layer, .numbers = {number}};
    } else {
      numbers.erase(number);
    }
  }
  changed.NotifyAll();
  return layer;
}

StatusOr<std::shared_ptr<LazyLayer>> LayerHost::State::OpenLayer(const LayerSpec& spec,
                                                                 Network network) {
  const LayerKey key{.layer = spec.layer, .toc = spec.toc};
  StatusOr<std::shared_ptr<store::StoredLayer>> stored = layers->Find(key);
  if (stored.ok()) {
    return LazyLayer::Open(*std::move(stored), *cpu, counters, {}, scheduler);
  }
  if (network == Network::kForbidden || stored.status().code() != StatusCode::kNotFound) {
    return stored.status();
  }
  ASSIGN_OR_RETURN(const std::shared_ptr<oci::ImageSource> source,
                   dependencies.sources(spec.image));
  ASSIGN_OR_RETURN(layer::OpenedLayer opened,
                   layer::OpenLayer(*source, key, spec.size_bytes, *layers, counters));
  // Indexing took tens of megabytes that nobody needs again.
  ::malloc_trim(0);
  ASSIGN_OR_RETURN(std::shared_ptr<LazyLayer> layer,
                   LazyLayer::Open(std::move(opened.stored), *cpu, counters, {}, scheduler));
  layer->UseReader(KeepTogether(source, std::move(opened.reader)));
  return layer;
}

void LayerHost::State::FetchAhead(LazyLayer& layer, const LayerSpec& spec) const {
  const layer::ChunkTable& chunks = layer.chunks();
  if (options.fetch.prefetch && !chunks.no_prefetch()) {
    const uint64_t wished = spec.prefetch_bytes.value_or(options.fetch.prefetch_bytes);
    if (const uint64_t bytes = chunks.prefetch_end().value_or(wished); bytes > 0) {
      layer.Prefetch(bytes);
    }
  }
  if (options.fetch.background) {
    layer.Complete(
        [digest = spec.layer.ToString()] { log::Info("layer is complete", {{"layer", digest}}); });
  }
}

Status LayerHost::State::Hide(uint64_t number, Data data) {
  LayerKey key;
  std::shared_ptr<LazyLayer> layer;
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
    layer = entry->second.layer;
    is_last = entry->second.numbers.empty();
    if (is_last) {
      shown.erase(entry);
      busy.insert(key);
    }
  }
  View& view = ViewOf(*layer);
  view.layers.Remove(number);
  if (is_last) {
    layer->Close();  // before the kernel drops its pages: it waits for reads on their way
  }
  view.session->ForgetLayer(number);
  if (!is_last) {
    return OkStatus();
  }
  layer.reset();
  const Status status = data == Data::kDiscard ? layers->Remove(key) : OkStatus();
  {
    MutexLock lock(mutex);
    busy.erase(key);
  }
  changed.NotifyAll();
  return status;
}

}  // namespace starling::mount
