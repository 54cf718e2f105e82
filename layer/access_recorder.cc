#include "layer/access_recorder.h"

#include <algorithm>
#include <atomic>
#include <utility>

namespace starling::layer {

using std::chrono::milliseconds;
using std::chrono::steady_clock;

/// The moment of the image's first read, from which all times are counted.
class AccessRecorder::Start {
 public:
  explicit Start(const Clock& clock) : clock_(clock) {}

  /// Milliseconds since the first call; something is needed for the first time now.
  milliseconds Passed() noexcept {
    const int64_t now = clock_.Now().time_since_epoch().count();
    latest_.store(now, std::memory_order_relaxed);
    int64_t start = kNone;
    // Whoever comes first sets it; the others find it in `start`.
    if (start_.compare_exchange_strong(start, now, std::memory_order_relaxed)) {
      start = now;
    }
    return std::min(Since(start, now), AccessProfile::kMaxFirstNeed - milliseconds(1));
  }

  std::optional<RunTimes> Times() const {
    const int64_t start = start_.load(std::memory_order_relaxed);
    if (start == kNone) {
      return std::nullopt;
    }
    const int64_t now = clock_.Now().time_since_epoch().count();
    return RunTimes{.passed = Since(start, now),
                    .quiet = Since(latest_.load(std::memory_order_relaxed), now)};
  }

 private:
  static constexpr int64_t kNone = INT64_MIN;

  static milliseconds Since(int64_t then, int64_t now) {
    // Another thread may have read the clock before the one that set `then`.
    return std::chrono::duration_cast<milliseconds>(
        steady_clock::duration(std::max<int64_t>(now - then, 0)));
  }

  const Clock& clock_;
  std::atomic<int64_t> start_ = kNone;
  std::atomic<int64_t> latest_ = 0;
};

class AccessRecorder::LayerRecord : public ReadObserver {
 public:
  LayerRecord(std::shared_ptr<Start> start, const ChunkTable& table,
              std::shared_ptr<const void> owner)
      : start_(std::move(start)),
        table_(table),
        owner_(std::move(owner)),
        needed_(table.chunks().size()) {}

  void OnRead(uint32_t first_chunk, uint32_t last_chunk) noexcept override {
    const size_t last = std::min<size_t>(last_chunk, needed_.size());
    uint32_t now = 0;
    for (size_t chunk = first_chunk; chunk < last; ++chunk) {
      if (needed_[chunk].load(std::memory_order_relaxed) != kNever) {
        continue;
      }
      if (now == 0) {
        now = static_cast<uint32_t>(start_->Passed().count()) + 1;
      }
      uint32_t never = kNever;
      needed_[chunk].compare_exchange_strong(never, now, std::memory_order_relaxed);
    }
  }

  std::vector<AccessRange> Ranges() const {
    std::vector<AccessRange> ranges;
    size_t next = 0;  // the chunk that continues the last range
    for (size_t chunk = 0; chunk < needed_.size(); ++chunk) {
      const uint32_t needed = needed_[chunk].load(std::memory_order_relaxed);
      if (needed == kNever) {
        continue;
      }
      const DataRange range = table_.chunks()[chunk].range();
      const milliseconds first_need(needed - 1);
      // Between chunks that follow each other there is only padding.
      if (!ranges.empty() && chunk == next &&
          std::chrono::abs(first_need - ranges.back().first_need) <= kSameMoment) {
        AccessRange& grown = ranges.back();
        grown.range.size_bytes = range.end() - grown.range.data_address;
        grown.first_need = std::min(grown.first_need, first_need);
      } else {
        ranges.push_back({.range = range, .first_need = first_need, .runs = 1});
      }
      next = chunk + 1;
    }
    return ranges;
  }

 private:
  static constexpr uint32_t kNever = 0;
  const std::shared_ptr<Start> start_;
  const ChunkTable table_;
  const std::shared_ptr<const void> owner_;
  std::vector<std::atomic<uint32_t>> needed_;  // milliseconds since the start, plus 1
};

AccessRecorder::AccessRecorder(const Clock& clock) : start_(std::make_shared<Start>(clock)) {}

AccessRecorder::~AccessRecorder() = default;

std::shared_ptr<ReadObserver> AccessRecorder::AddLayer(const store::LayerKey& key,
                                                       const ChunkTable& table,
                                                       std::shared_ptr<const void> owner) {
  MutexLock lock(mutex_);
  if (const auto known = layers_.find(key); known != layers_.end()) {
    return known->second;
  }
  if (table.chunks().size() > chunks_left_) {
    return nullptr;
  }
  chunks_left_ -= table.chunks().size();
  const auto record = std::make_shared<LayerRecord>(start_, table, std::move(owner));
  layers_.emplace(key, record);
  return record;
}

std::optional<RunTimes> AccessRecorder::TimesOfRun() const { return start_->Times(); }

StatusOr<AccessProfile> AccessRecorder::Snapshot(const oci::Digest& image) const {
  std::vector<std::pair<store::LayerKey, std::shared_ptr<LayerRecord>>> records;
  {
    MutexLock lock(mutex_);
    records.assign(layers_.begin(), layers_.end());
  }
  std::vector<LayerAccess> layers;
  layers.reserve(records.size());
  for (const auto& [key, record] : records) {
    layers.push_back({.key = key, .ranges = record->Ranges()});
  }
  return AccessProfile::Make(image, 1, std::move(layers));
}

}  // namespace starling::layer
