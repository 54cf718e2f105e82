#include "mount/eager_layers.h"

#include <algorithm>
#include <utility>
#include <vector>

#include "base/log.h"

namespace starling::mount {
namespace {

using layer::LayerIngest;

Status Closed() { return MakeError(StatusCode::kCancelled, "layers are not fetched any more"); }

Status Abandoned() {
  return MakeError(StatusCode::kAborted, "the layer need not be fetched as a whole any more");
}

constexpr std::chrono::minutes kSweepInterval(1);

}  // namespace

EagerLayers::EagerLayers(Dependencies dependencies)
    : dependencies_(std::move(dependencies)),
      decoders_(std::make_unique<ThreadPool>("eager", kDecoders)),
      menders_(std::make_unique<ThreadPool>("mend", kMenders)) {}

EagerLayers::~EagerLayers() { Close(); }

std::shared_ptr<EagerLayers::Entry> EagerLayers::AddEntry(const LayerSpec& spec) {
  auto entry = std::make_shared<Entry>();
  entry->spec = spec;
  entry->order = next_order_++;
  entry->last_sign = dependencies_.clock.Now();
  entries_[spec.layer] = entry;
  return entry;
}

/// The pull of `image` is alive.
void EagerLayers::NoteSign(const std::string& image) {
  const TimePoint now = dependencies_.clock.Now();
  for (const auto& [layer, entry] : entries_) {
    if (entry->spec.image == image) {
      entry->last_sign = now;
    }
  }
}

void EagerLayers::PostNext() {
  decoders_->Post([this] { RunNext(); });
}

StatusOr<std::shared_ptr<store::StoredLayer>> EagerLayers::Fetch(const LayerSpec& spec) {
  std::shared_ptr<Entry> entry;
  {
    MutexLock lock(mutex_);
    if (closed_) {
      return Closed();
    }
    const auto begun = entries_.find(spec.layer);
    if (begun != entries_.end()) {
      entry = begun->second;
      if (entry->stage == Stage::kEnded && !entry->result.ok()) {
        entry->stage = Stage::kWaiting;
        PostNext();
      }
    } else {
      entry = AddEntry(spec);
      PostNext();
    }
    entry->is_awaited = true;
    NoteSign(spec.image);
    while (!closed_ && entry->stage != Stage::kEnded) {
      changed_.Wait(mutex_);
    }
    NoteSign(spec.image);
    if (closed_) {
      return Closed();
    }
  }
  // Listed until it is in the store, so that nobody begins it again meanwhile.
  if (entry->is_abandoned && !entry->result.ok()) {
    return Abandoned();
  }
  StatusOr<std::shared_ptr<store::StoredLayer>> stored =
      entry->result.ok() ? entry->ingest->Commit() : entry->result;
  MutexLock lock(mutex_);
  entries_.erase(spec.layer);
  return stored;
}

void EagerLayers::BeginAhead(std::span<const LayerSpec> specs) {
  MutexLock lock(mutex_);
  for (const LayerSpec& spec : specs) {
    if (!closed_ && !entries_.contains(spec.layer)) {
      AddEntry(spec);
      PostNext();
      SweepLater();
    }
  }
}

void EagerLayers::Abandon(const oci::Digest& layer) {
  MutexLock lock(mutex_);
  const auto found = entries_.find(layer);
  if (found == entries_.end() ||
      (found->second->stage == Stage::kEnded && found->second->result.ok())) {
    return;
  }
  const std::shared_ptr<Entry> entry = found->second;
  entry->is_abandoned = true;
  if (entry->stage == Stage::kRunning) {
    entry->ingest->Cancel();
  } else {
    entry->stage = Stage::kEnded;
    entry->result = Abandoned();
  }
  entries_.erase(found);  // whoever waits for it holds it
  changed_.NotifyAll();
}

void EagerLayers::SweepLater() {
  if (!dependencies_.ingest.scheduler || std::exchange(sweeps_later_, true)) {
    return;
  }
  dependencies_.ingest.scheduler->RunAfter(kSweepInterval, [weak = weak_from_this()] {
    if (const auto self = weak.lock()) {
      self->Sweep();
    }
  });
}

void EagerLayers::Sweep() {
  MutexLock lock(mutex_);
  sweeps_later_ = false;
  if (closed_ || entries_.empty()) {
    return;
  }
  SweepLater();
  decoders_->Post([this] { DropUnclaimed(); });
}

void EagerLayers::Mend(const LayerSpec& spec, std::shared_ptr<store::StoredLayer> stored,
                       LayerIngest::Spill spill, std::function<void(const Status&)> done) {
  const std::shared_ptr<LayerIngest> ingest = MakeIngest();
  MutexLock lock(mutex_);
  if (closed_) {
    return;
  }
  mends_.insert(ingest);
  menders_->Post([this, spec, stored = std::move(stored), spill = std::move(spill),
                  done = std::move(done), ingest] {
    log::Info("a layer has lost a part and is fetched again as a whole",
              {{"layer", spec.layer.ToString()}, {"image", spec.image}});
    const auto source = dependencies_.sources(spec.image);
    const Status status =
        source.ok() ? ingest->Restore(**source, spec.host(), *stored, spill) : source.status();
    {
      MutexLock ended_lock(mutex_);
      mends_.erase(ingest);
    }
    done(status);
  });
}

std::shared_ptr<LayerIngest> EagerLayers::MakeIngest() const {
  return std::make_shared<LayerIngest>(
      dependencies_.ingest,
      LayerIngest::Options{.ranges = {}, .max_data_bytes = dependencies_.disk_bytes()});
}

/// What somebody waits for comes first, then what was begun first.
std::shared_ptr<EagerLayers::Entry> EagerLayers::TakeNext() {
  std::shared_ptr<Entry> next;
  for (const auto& [layer, entry] : entries_) {
    if (entry->stage == Stage::kWaiting &&
        (!next ||
         std::pair(!entry->is_awaited, entry->order) < std::pair(!next->is_awaited, next->order))) {
      next = entry;
    }
  }
  return next;
}

/// On a decoder's thread.
void EagerLayers::RunNext() {
  std::shared_ptr<Entry> entry;
  LayerSpec spec;
  std::shared_ptr<LayerIngest> ingest;
  auto formats = LayerIngest::Formats::kAll;
  {
    MutexLock lock(mutex_);
    entry = closed_ ? nullptr : TakeNext();
    if (!entry) {
      return;
    }
    ingest = MakeIngest();
    entry->stage = Stage::kRunning;
    entry->ingest = ingest;
    entry->is_ahead = !entry->is_awaited;
    formats = entry->is_ahead ? LayerIngest::Formats::kPlainOnly : LayerIngest::Formats::kAll;
    spec = entry->spec;
  }
  const Status status = Run(ingest, spec, formats);
  MutexLock lock(mutex_);
  entry->result = status;
  entry->stage = Stage::kEnded;
  if (!status.ok() && entry->is_ahead) {
    log::Debug("a layer is not fetched ahead",
               {{"layer", spec.layer.ToString()}, {"error", Describe(status)}});
    if (entry->is_awaited && !entry->is_abandoned && !closed_) {
      // Who asked for it meanwhile gets a try of their own.
      entry->stage = Stage::kWaiting;
      PostNext();
    }
  }
  changed_.NotifyAll();
}

Status EagerLayers::Run(const std::shared_ptr<LayerIngest>& ingest, const LayerSpec& spec,
                        LayerIngest::Formats formats) {
  ASSIGN_OR_RETURN(const std::shared_ptr<oci::ImageSource> source,
                   dependencies_.sources(spec.image));
  return ingest->Run(*source, spec.host(), spec.layer, spec.size_bytes, formats);
}

void EagerLayers::DropUnclaimed() {
  // Dropped at the end, without the lock: their files are removed.
  std::vector<std::shared_ptr<Entry>> dropped;
  MutexLock lock(mutex_);
  std::vector<std::string> alive;
  for (const auto& [layer, entry] : entries_) {
    if (entry->is_awaited) {
      alive.push_back(entry->spec.image);
    }
  }
  for (const std::string& image : alive) {
    NoteSign(image);
  }
  const TimePoint now = dependencies_.clock.Now();
  for (auto at = entries_.begin(); at != entries_.end();) {
    const std::shared_ptr<Entry> entry = at->second;
    if (now - entry->last_sign < kUnclaimed) {
      ++at;
      continue;
    }
    if (entry->stage == Stage::kRunning) {
      entry->ingest->Cancel();  // it goes the next time
      ++at;
      continue;
    }
    dropped.push_back(entry);
    at = entries_.erase(at);
  }
}

size_t EagerLayers::under_way() const {
  MutexLock lock(mutex_);
  return entries_.size();
}

bool EagerLayers::is_awaited(const oci::Digest& layer) const {
  MutexLock lock(mutex_);
  const auto found = entries_.find(layer);
  return found != entries_.end() && found->second->is_awaited;
}

bool EagerLayers::has_ended(const oci::Digest& layer) const {
  MutexLock lock(mutex_);
  const auto found = entries_.find(layer);
  return found != entries_.end() && found->second->stage == Stage::kEnded;
}

void EagerLayers::Close() {
  std::unique_ptr<ThreadPool> decoders;
  std::unique_ptr<ThreadPool> menders;
  std::map<oci::Digest, std::shared_ptr<Entry>> entries;
  {
    MutexLock lock(mutex_);
    closed_ = true;
    for (const auto& [layer, entry] : entries_) {
      if (entry->ingest) {
        entry->ingest->Cancel();
      }
    }
    for (const std::shared_ptr<LayerIngest>& ingest : mends_) {
      ingest->Cancel();
    }
    decoders.swap(decoders_);
    menders.swap(menders_);
    changed_.NotifyAll();
  }
  decoders.reset();
  menders.reset();
  MutexLock lock(mutex_);
  entries.swap(entries_);
}

}  // namespace starling::mount
