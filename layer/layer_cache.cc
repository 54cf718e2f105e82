#include "layer/layer_cache.h"

#include <algorithm>
#include <map>
#include <optional>
#include <utility>

#include "base/clock.h"
#include "base/log.h"
#include "base/mutex.h"
#include "layer/chunk_runs.h"
#include "layer/eviction.h"
#include "layer/verification.h"
#include "oci/reference.h"

namespace starling::layer {
namespace {

constexpr std::chrono::seconds kStillWaiting(1);

/// The name of an image as containerd has it, for who leaves out what is understood.
std::string FullName(std::string_view name) {
  constexpr std::string_view kRegistryPrefix = "docker://";
  if (name.starts_with(kRegistryPrefix)) {
    name.remove_prefix(kRegistryPrefix.size());
  }
  const auto reference = oci::Reference::Parse(name);
  return reference.ok() ? reference->ToString() : std::string(name);
}

/// How a name is kept: a layer's digest or an image's full name.
std::string PinOf(const std::string& name) {
  const auto digest = oci::Digest::Parse(name);
  return digest.ok() ? digest->ToString() : FullName(name);
}

}  // namespace

struct LayerCache::Known {
  std::shared_ptr<store::StoredLayer> stored;
  ChunkTable table;
  OpenLayer open;  // without a layer when nobody has opened it
  std::vector<std::string> pins;
  bool is_pinned_by_name = false;

  const store::LayerKey& key() const { return stored->key(); }
  bool Has(const std::string& pin) const {
    return key().layer.ToString() == pin ||
           std::ranges::any_of(open.images,
                               [&](const std::string& image) { return FullName(image) == pin; });
  }
  /// What an eviction takes of it at most.
  StatusOr<uint64_t> Evict() const {
    if (!pins.empty()) {
      return 0;
    }
    if (open.layer) {
      open.layer->StopFetchingAhead();
      return open.layer->Evict(LazyLayer::Evictable::kAll, UINT64_MAX);
    }
    const auto runs = RunsOf(table, [this](uint32_t chunk) {
      return stored->IsPresent(chunk) || stored->IsDoubtful(chunk);
    });
    return runs.empty() ? 0 : stored->Evict(runs, ChunkBytesOf(table));
  }
};

/// Every stored layer that can be opened, with what pins it.
StatusOr<std::vector<LayerCache::Known>> LayerCache::FindAll() {
  ASSIGN_OR_RETURN(const std::vector<store::LayerKey> keys, dependencies_.layers.List());
  std::map<store::LayerKey, OpenLayer> open;
  for (OpenLayer& layer : dependencies_.open_layers()) {
    const store::LayerKey key = layer.layer->key();
    open.emplace(key, std::move(layer));
  }
  const std::set<std::string> pins = pins_->names();
  std::vector<Known> all;
  for (const store::LayerKey& key : keys) {
    auto stored = dependencies_.layers.Find(key);
    const auto table = stored.ok() ? ChunkTable::Open((*stored)->chunk_table()) : stored.status();
    if (!table.ok()) {
      if (table.status().code() != StatusCode::kNotFound) {
        log::Warning("a stored layer cannot be looked at",
                     {{"layer", key.layer.ToString()}, {"error", Describe(table.status())}});
      }
      continue;
    }
    Known known{.stored = *std::move(stored), .table = *table, .open = open[key]};
    for (const std::string& pin : pins) {
      if (known.Has(pin)) {
        known.pins.push_back(pin == key.layer.ToString() ? "pinned" : "pinned with " + pin);
      }
    }
    known.is_pinned_by_name = !known.pins.empty();
    if (known.stored->is_pinned()) {
      known.pins.emplace_back("the kernel reads it without starling");
    }
    all.push_back(std::move(known));
  }
  return all;
}

StatusOr<CacheState> LayerCache::List() {
  ASSIGN_OR_RETURN(const std::vector<Known> all, FindAll());
  const std::set<std::string> pins = pins_->names();
  CacheState state{.layers = {},
                   .pins = {pins.begin(), pins.end()},
                   .disk_bytes = DiskBytes(),
                   .max_bytes = dependencies_.layers.room().max_bytes()};
  for (const Known& known : all) {
    const store::StoredLayer& stored = *known.stored;
    CachedLayer layer{.key = known.key(),
                      .held_bytes = stored.present_bytes(),
                      .disk_bytes = stored.disk_bytes(),
                      .is_complete = stored.complete(),
                      .is_shown = known.open.is_shown,
                      .pins = known.pins,
                      .images = {known.open.images.begin(), known.open.images.end()}};
    for (const ChunkRecord& chunk : known.table.chunks()) {
      layer.total_bytes += chunk.size_bytes;
    }
    if (known.open.layer) {
      const auto last_read = known.open.layer->last_read();
      if (last_read != std::chrono::steady_clock::time_point()) {
        layer.since_last_read =
            std::chrono::duration_cast<std::chrono::seconds>(dependencies_.now() - last_read);
      }
    }
    state.layers.push_back(std::move(layer));
  }
  std::ranges::sort(state.layers, {}, &CachedLayer::key);
  return state;
}

StatusOr<uint64_t> LayerCache::Pin(const std::string& name) {
  const std::string pin = PinOf(name);
  ASSIGN_OR_RETURN(const std::vector<Known> all, FindAll());
  const auto count = std::ranges::count_if(all, [&](const Known& known) { return known.Has(pin); });
  if (count == 0) {
    return MakeError(StatusCode::kNotFound,
                     fmt::format("nothing is held of {}: `starling cache ls` shows the layers and "
                                 "images that are",
                                 pin));
  }
  RETURN_IF_ERROR(pins_->Add(pin));
  return static_cast<uint64_t>(count);
}

StatusOr<uint64_t> LayerCache::Unpin(const std::string& name) {
  const std::string pin = PinOf(name);
  RETURN_IF_ERROR(pins_->Remove(pin));
  ASSIGN_OR_RETURN(const std::vector<Known> all, FindAll());
  return static_cast<uint64_t>(
      std::ranges::count_if(all, [&](const Known& known) { return known.Has(pin); }));
}

StatusOr<Evicted> LayerCache::Evict(const oci::Digest& layer) {
  ASSIGN_OR_RETURN(const std::vector<Known> all, FindAll());
  Evicted evicted;
  bool is_found = false;
  for (const Known& known : all) {
    if (known.key().layer != layer) {
      continue;
    }
    is_found = true;
    if (!known.pins.empty()) {
      return MakeError(StatusCode::kFailedPrecondition,
                       fmt::format("layer {} stays: {}", layer.ToString(), known.pins.front()));
    }
    ASSIGN_OR_RETURN(const uint64_t bytes, known.Evict());
    evicted.content_bytes += bytes;
  }
  if (!is_found) {
    return MakeError(StatusCode::kNotFound, fmt::format("layer {} is not here", layer.ToString()));
  }
  evicted.disk_bytes = DiskBytes();
  return evicted;
}

StatusOr<Evicted> LayerCache::EvictTo(uint64_t disk_bytes) {
  Evicted evicted;
  // More than once: content bytes and what they take of the disk are not the same.
  for (uint64_t held = DiskBytes(); held > disk_bytes; held = DiskBytes()) {
    uint64_t bytes = MakeRoom(held - disk_bytes);
    if (bytes == 0) {
      // What nobody has opened.
      ASSIGN_OR_RETURN(const std::vector<Known> all, FindAll());
      for (const Known& known : all) {
        if (!known.open.layer && DiskBytes() > disk_bytes) {
          ASSIGN_OR_RETURN(const uint64_t of_one, known.Evict());
          bytes += of_one;
        }
      }
    }
    if (bytes == 0) {
      break;
    }
    evicted.content_bytes += bytes;
  }
  evicted.disk_bytes = DiskBytes();
  return evicted;
}

StatusOr<Evicted> LayerCache::Clear() {
  ASSIGN_OR_RETURN(std::vector<Known> all, FindAll());
  Evicted evicted;
  for (Known& known : all) {
    const store::LayerKey key = known.key();
    const uint64_t held_bytes = known.stored->present_bytes();
    if (!known.open.is_shown && !known.is_pinned_by_name) {
      known = {};  // else its files stay open
      ASSIGN_OR_RETURN(const bool is_removed, dependencies_.remove(key));
      evicted.layers += is_removed ? 1 : 0;
      evicted.content_bytes += is_removed ? held_bytes : 0;
    } else {
      ASSIGN_OR_RETURN(const uint64_t bytes, known.Evict());
      evicted.content_bytes += bytes;
    }
  }
  evicted.disk_bytes = DiskBytes();
  return evicted;
}

uint64_t LayerCache::MakeRoom(uint64_t wanted_bytes) {
  const std::set<std::string> pins = pins_->names();
  std::vector<std::shared_ptr<LazyLayer>> evictable;
  for (const OpenLayer& open : dependencies_.open_layers()) {
    const bool is_pinned = pins.contains(open.layer->key().layer.ToString()) ||
                           std::ranges::any_of(open.images, [&](const auto& image) {
                             return pins.contains(FullName(image));
                           });
    if (is_pinned) {
      open.layer->StopFetchingAhead();
    } else {
      evictable.push_back(open.layer);
    }
  }
  return layer::MakeRoom(evictable, wanted_bytes);
}

Status LayerCache::Verify(const std::optional<oci::Digest>& layer, const VerifyObserver& observer) {
  ASSIGN_OR_RETURN(const std::vector<Known> all, FindAll());
  bool is_found = !layer;
  for (const Known& known : all) {
    if (layer && known.key().layer != *layer) {
      continue;
    }
    is_found = true;
    Verification so_far{.key = known.key(), .held_bytes = known.stored->present_bytes()};
    const auto wrong = VerifyHeld(*known.stored, known.table, [&](uint64_t bytes) {
      so_far.checked_bytes += bytes;
      return observer(so_far);
    });
    RETURN_IF_ERROR(wrong.status());
    so_far.wrong_chunks = wrong->size();
    RETURN_IF_ERROR(Mend(known, *wrong, so_far, observer));
    so_far.is_done = true;
    if (!observer(so_far)) {
      return MakeError(StatusCode::kCancelled, "the verification was stopped");
    }
  }
  return is_found ? OkStatus()
                  : MakeError(StatusCode::kNotFound,
                              fmt::format("layer {} is not here", layer->ToString()));
}

/// Fetches dropped chunks again, one after the other. Only what the observer says is an error.
Status LayerCache::Mend(const Known& known, std::span<const uint32_t> wrong, Verification& so_far,
                        const VerifyObserver& observer) {
  struct Wait {
    Mutex mutex;  // leaf
    Condition changed;
    std::optional<Status> result GUARDED_BY(mutex);
  };
  if (wrong.empty()) {
    return OkStatus();
  }
  if (!known.open.layer) {
    so_far.problem = "nobody has it open: it is fetched again when it is read";
    return OkStatus();
  }
  for (const uint32_t chunk : wrong) {
    const auto wait = std::make_shared<Wait>();
    known.open.layer->MakePresent(known.table.chunks()[chunk].range(), oci::FetchClass::kDemand,
                                  [wait](const Status& status) {
                                    const MutexLock lock(wait->mutex);
                                    wait->result = status;
                                    wait->changed.NotifyAll();
                                  });
    std::optional<Status> result;
    while (!result) {
      {
        const MutexLock lock(wait->mutex);
        const auto deadline = SystemClock().Now() + kStillWaiting;
        while (!wait->result && wait->changed.WaitUntil(wait->mutex, deadline)) {
        }
        result = wait->result;
      }
      if (!result && !observer(so_far)) {
        return MakeError(StatusCode::kCancelled, "the verification was stopped");
      }
    }
    if (!result->ok()) {
      so_far.problem = Describe(*result);
      return OkStatus();
    }
    ++so_far.mended_chunks;
  }
  return OkStatus();
}

namespace {

/// Owns what a LayerCache borrows.
class StoredCache : public Cache {
 public:
  StoredCache(std::unique_ptr<store::LayerStore> layers, std::unique_ptr<Pins> pins)
      : layers_(std::move(layers)),
        cache_({.layers = *layers_,
                .open_layers = [] { return std::vector<LayerCache::OpenLayer>(); },
                .remove = [this](const store::LayerKey& key) -> StatusOr<bool> {
                  RETURN_IF_ERROR(layers_->Remove(key));
                  return true;
                },
                .now = [] { return SystemClock().Now(); }},
               std::move(pins)) {}

  StatusOr<CacheState> List() override { return cache_.List(); }
  StatusOr<uint64_t> Pin(const std::string& name) override { return cache_.Pin(name); }
  StatusOr<uint64_t> Unpin(const std::string& name) override { return cache_.Unpin(name); }
  StatusOr<Evicted> Evict(const oci::Digest& layer) override { return cache_.Evict(layer); }
  StatusOr<Evicted> EvictTo(uint64_t disk_bytes) override { return cache_.EvictTo(disk_bytes); }
  StatusOr<Evicted> Clear() override { return cache_.Clear(); }
  Status Verify(const std::optional<oci::Digest>& layer, const VerifyObserver& observer) override {
    return cache_.Verify(layer, observer);
  }

 private:
  std::unique_ptr<store::LayerStore> layers_;
  LayerCache cache_;
};

}  // namespace

StatusOr<std::unique_ptr<Cache>> OpenStoredCache(const std::filesystem::path& store,
                                                 FileSystem& files) {
  std::error_code error;
  if (!std::filesystem::is_directory(store, error)) {
    return MakeError(StatusCode::kNotFound, fmt::format("there is no store at {}", store.string()));
  }
  ASSIGN_OR_RETURN(std::unique_ptr<store::LayerStore> layers,
                   store::LayerStore::Open(store, files));
  ASSIGN_OR_RETURN(std::unique_ptr<Pins> pins, Pins::Open(store / Pins::kFileName, files));
  return std::make_unique<StoredCache>(std::move(layers), std::move(pins));
}

}  // namespace starling::layer
