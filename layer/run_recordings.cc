#include "layer/run_recordings.h"

#include <algorithm>
#include <utility>

#include "base/log.h"

namespace starling::layer {
namespace {

constexpr std::chrono::milliseconds kPollEvery =
    std::chrono::milliseconds(RunRecordings::kQuiet) / 3;

/// What was needed first.
std::vector<LayerAccess> EarliestOf(const AccessProfile& profile, size_t max_ranges) {
  std::vector<LayerAccess> layers = profile.layers();
  if (profile.range_count() <= max_ranges) {
    return layers;
  }
  std::vector<PlannedAccess> order = InOrderOfNeed(profile);
  order.resize(max_ranges);
  for (LayerAccess& access : layers) {
    access.ranges.clear();
  }
  for (const PlannedAccess& planned : order) {
    layers[planned.layer].ranges.push_back(
        {.range = planned.range, .first_need = planned.first_need, .runs = planned.runs});
  }
  for (LayerAccess& access : layers) {
    std::ranges::sort(access.ranges, {},
                      [](const AccessRange& range) { return range.range.data_address; });
  }
  return layers;
}

/// Nothing where nothing was needed yet.
std::optional<AccessProfile> NeedsOf(const AccessRecorder& recorder, const oci::Digest& image) {
  auto needs = recorder.Snapshot(image);
  if (!needs.ok() || needs->needed_bytes() == 0) {
    return std::nullopt;
  }
  return *std::move(needs);
}

}  // namespace

void ReadTap::OnRead(uint32_t first_chunk, uint32_t last_chunk) noexcept {
  if (!has_listeners_.load(std::memory_order_relaxed)) {
    return;
  }
  MutexLock lock(mutex_);
  for (const std::shared_ptr<ReadObserver>& listener : listeners_) {
    listener->OnRead(first_chunk, last_chunk);
  }
}

void ReadTap::Add(std::shared_ptr<ReadObserver> listener) {
  MutexLock lock(mutex_);
  listeners_.push_back(std::move(listener));
  has_listeners_.store(true, std::memory_order_relaxed);
}

void ReadTap::Remove(const std::shared_ptr<ReadObserver>& listener) {
  MutexLock lock(mutex_);
  std::erase(listeners_, listener);
  has_listeners_.store(!listeners_.empty(), std::memory_order_relaxed);
}

void RunRecordings::Begin(const oci::Digest& image, const Layer& layer) {
  MutexLock lock(mutex_);
  const size_t chunks = layer.table.chunks().size();
  const auto known = recordings_.find(image);
  if (stopped_ || chunks > kMaxChunks - chunks_ ||
      (known != recordings_.end() && known->second.parts.contains(layer.key))) {
    return;
  }
  if (known == recordings_.end() && recordings_.size() == kMaxImages) {
    const auto oldest = std::ranges::min_element(
        recordings_, {}, [](const auto& recording) { return recording.second.begun; });
    SaveLater(Take(oldest->first));
  }
  Recording& recording = recordings_[image];
  if (!recording.recorder) {
    recording.image = image;
    recording.name = layer.image;
    recording.recorder = std::make_shared<AccessRecorder>(deps_.clock);
    recording.begun = deps_.clock.Now();
  }
  Part part{.tap = layer.tap,
            .listener = recording.recorder->AddLayer(layer.key, layer.table, layer.owner)};
  recording.chunks += chunks;
  chunks_ += chunks;
  part.tap->Add(part.listener);
  recording.parts.emplace(layer.key, std::move(part));
  PollLater();
}

void RunRecordings::GoesUnseen(const store::LayerKey& layer) {
  MutexLock lock(mutex_);
  for (auto& [image, recording] : recordings_) {
    if (const auto part = recording.parts.find(layer); part != recording.parts.end()) {
      part->second.is_seen = false;
    }
  }
}

void RunRecordings::Gone(const store::LayerKey& layer) {
  std::vector<Recording> ended;
  {
    MutexLock lock(mutex_);
    std::vector<oci::Digest> images;
    for (const auto& [image, recording] : recordings_) {
      if (recording.parts.contains(layer)) {
        images.push_back(image);
      }
    }
    for (const oci::Digest& image : images) {
      ended.push_back(Take(image));
    }
  }
  for (const Recording& recording : ended) {
    Save(recording);
  }
}

RecordedRun RunRecordings::RunOf(const Recording& recording, const AccessProfile& needs) const {
  const auto times = recording.recorder->TimesOfRun();
  RecordedRun run{
      .image = recording.name,
      .manifest = recording.image,
      .begun = deps_.clock.WallTime() - (times ? times->passed : std::chrono::milliseconds(0)),
      .ended = {},
      .layers = {},
      .needs = EarliestOf(needs, kKeptRanges)};
  for (const auto& [key, part] : recording.parts) {
    run.layers.push_back(key);
  }
  return run;
}

std::vector<RecordedRun> RunRecordings::Runs() const {
  std::vector<RecordedRun> runs;
  std::vector<Recording> under_way;
  {
    MutexLock lock(mutex_);
    runs.assign(ended_.begin(), ended_.end());
    for (const auto& [image, recording] : recordings_) {
      under_way.push_back(recording);
    }
  }
  for (const Recording& recording : under_way) {
    if (const auto needs = NeedsOf(*recording.recorder, recording.image)) {
      runs.push_back(RunOf(recording, *needs));
    }
  }
  std::ranges::stable_sort(runs, {}, &RecordedRun::begun);
  return runs;
}

std::optional<AccessProfile> RunRecordings::NeedsSoFar(const oci::Digest& image) const {
  std::shared_ptr<AccessRecorder> recorder;
  {
    MutexLock lock(mutex_);
    const auto recording = recordings_.find(image);
    if (recording == recordings_.end()) {
      return std::nullopt;
    }
    recorder = recording->second.recorder;
  }
  return NeedsOf(*recorder, image);
}

void RunRecordings::Stop() {
  std::vector<Recording> ended;
  {
    MutexLock lock(mutex_);
    stopped_ = true;
    while (!recordings_.empty()) {
      ended.push_back(Take(recordings_.begin()->first));
    }
  }
  for (Recording& recording : ended) {
    // The run goes on, and what it will read is not seen.
    for (auto& [key, part] : recording.parts) {
      part.is_seen = false;
    }
    Save(recording);
  }
}

void RunRecordings::PollLater() {
  if (stopped_ || recordings_.empty() || std::exchange(polls_, true)) {
    return;
  }
  deps_.timer.RunAfter(kPollEvery, [weak = weak_from_this()] {
    if (const auto self = weak.lock()) {
      self->Poll();
    }
  });
}

void RunRecordings::Poll() {
  MutexLock lock(mutex_);
  polls_ = false;
  std::vector<oci::Digest> ended;
  for (const auto& [image, recording] : recordings_) {
    const auto times = recording.recorder->TimesOfRun();
    if (times && (times->quiet >= kQuiet || times->passed >= kLongest)) {
      ended.push_back(image);
    }
  }
  for (const oci::Digest& image : ended) {
    SaveLater(Take(image));
  }
  PollLater();
}

/// Ends the recording of `image`.
RunRecordings::Recording RunRecordings::Take(const oci::Digest& image) {
  Recording recording = std::move(recordings_.extract(image).mapped());
  chunks_ -= recording.chunks;
  for (const auto& [key, part] : recording.parts) {
    part.tap->Remove(part.listener);
  }
  return recording;
}

/// Under the lock, so that Stop ends every use of the executor.
void RunRecordings::SaveLater(Recording recording) {
  if (stopped_) {
    return;
  }
  deps_.disk.Post([self = shared_from_this(), ended = std::make_shared<const Recording>(
                                                  std::move(recording))] { self->Save(*ended); });
}

void RunRecordings::KeepEnded(RecordedRun run) {
  run.ended = deps_.clock.WallTime();
  MutexLock lock(mutex_);
  ended_.push_back(std::move(run));
  if (ended_.size() > kKeptRuns) {
    ended_.pop_front();
  }
}

void RunRecordings::Save(const Recording& recording) {
  const auto save = [&]() -> Status {
    ASSIGN_OR_RETURN(AccessProfile run, recording.recorder->Snapshot(recording.image));
    if (run.needed_bytes() == 0) {
      return OkStatus();  // nothing ran
    }
    KeepEnded(RunOf(recording, run));
    if (const auto kept = deps_.profiles.Find(recording.image); kept.ok()) {
      std::set<store::LayerKey> seen;
      for (const auto& [key, part] : recording.parts) {
        if (part.is_seen) {
          seen.insert(key);
        }
      }
      ASSIGN_OR_RETURN(run, AccessProfile::FillUnseen(run, *kept, seen));
    }
    ASSIGN_OR_RETURN(const AccessProfile merged, deps_.profiles.Add(run));
    log::Info("what a run of an image needed is kept",
              {{"image", recording.image.ToString()},
               {"needed-bytes", fmt::format("{}", run.needed_bytes())},
               {"ranges", fmt::format("{}", run.range_count())},
               {"known-runs", fmt::format("{}", merged.runs())}});
    return OkStatus();
  };
  if (const Status status = save(); !status.ok()) {
    log::Warning("what a run of an image needed is not kept",
                 {{"image", recording.image.ToString()}, {"error", Describe(status)}});
  }
}

}  // namespace starling::layer
