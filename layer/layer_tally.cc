#include "layer/layer_tally.h"

#include <algorithm>
#include <functional>
#include <numeric>

namespace starling::layer {

uint64_t LayerUse::fetched_bytes() const {
  return std::accumulate(fetched.begin(), fetched.end(), uint64_t{0},
                         [](uint64_t sum, const Fetched& part) { return sum + part.bytes; });
}

namespace {

/// The parts of a layer's content, to be given its chunks in order.
class PartsOf {
 public:
  explicit PartsOf(uint64_t total_bytes) : total_bytes_(total_bytes) {
    parts_.resize(std::min<uint64_t>(total_bytes, LayerUse::kParts));
  }

  void Add(uint64_t size_bytes, bool is_held, bool is_needed) {
    const uint64_t end = at_ + size_bytes;
    while (at_ < end) {
      const uint64_t part_end = total_bytes_ * (part_ + 1) / parts_.size();
      if (at_ >= part_end) {
        ++part_;
        continue;
      }
      const uint64_t bytes = std::min(end, part_end) - at_;
      LayerUse::Part& part = parts_[part_];
      part.total_bytes += bytes;
      part.held_bytes += is_held ? bytes : 0;
      part.needed_bytes += is_needed ? bytes : 0;
      at_ += bytes;
    }
  }
  std::vector<LayerUse::Part> Take() { return std::move(parts_); }

 private:
  const uint64_t total_bytes_;
  std::vector<LayerUse::Part> parts_;
  size_t part_ = 0;
  uint64_t at_ = 0;  // of the content
};

}  // namespace

LayerTally::LayerTally(size_t chunks) : needed_(chunks), came_(chunks) {}

void LayerTally::OnRequest(Purpose purpose) {
  fetched_[static_cast<size_t>(purpose)].requests.fetch_add(1, std::memory_order_relaxed);
}

void LayerTally::OnBytes(Purpose purpose, uint64_t size_bytes) {
  fetched_[static_cast<size_t>(purpose)].bytes.fetch_add(size_bytes, std::memory_order_relaxed);
}

void LayerTally::OnOpened(uint64_t requests, uint64_t size_bytes) {
  auto& [all_requests, all_bytes] = fetched_[static_cast<size_t>(Purpose::kIndex)];
  all_requests.fetch_add(requests, std::memory_order_relaxed);
  all_bytes.fetch_add(size_bytes, std::memory_order_relaxed);
}

void LayerTally::OnCame(uint32_t chunk, Purpose purpose) {
  uint8_t never = 0;
  came_[chunk].compare_exchange_strong(never, static_cast<uint8_t>(purpose) + 1,
                                       std::memory_order_relaxed);
}

void LayerTally::OnWaits(const void* id, DataRange range, ReadTimes::TimePoint begun,
                         std::shared_ptr<ContainerWaits::Asker> asker) {
  MutexLock lock(mutex_);
  waiting_[id] = {.range = range, .at = begun, .asker = std::move(asker)};
}

void LayerTally::OnWaited(const void* id, const SlowRead& read) {
  const auto longer = [](const SlowRead& a, const SlowRead& b) {
    return a.times.total() > b.times.total();
  };
  MutexLock lock(mutex_);
  waiting_.erase(id);
  ++stalls_.reads;
  stalls_.failed += read.failed ? 1 : 0;
  stalls_.times += read.times;
  std::vector<SlowRead>& worst = stalls_.worst;
  if (worst.size() == kWorst && !longer(read, worst.back())) {
    return;
  }
  worst.insert(std::ranges::upper_bound(worst, read, longer), read);
  worst.resize(std::min(worst.size(), kWorst));
}

LayerUse LayerTally::Use(const ChunkTable& table,
                         const std::function<bool(uint32_t chunk)>& is_present,
                         ReadTimes::TimePoint now) const {
  LayerUse use{.blob_bytes = table.blob_size_bytes()};
  const std::span<const ChunkRecord> chunks = table.chunks();
  std::vector<bool> has_all(table.members().size(), true);
  for (const ChunkRecord& chunk : chunks) {
    use.total_bytes += chunk.size_bytes;
  }
  PartsOf parts(use.total_bytes);
  for (uint32_t chunk = 0; chunk < chunks.size(); ++chunk) {
    const uint64_t size_bytes = chunks[chunk].size_bytes;
    const bool is_needed = needed_.Has(chunk);
    const bool is_held = is_present(chunk);
    parts.Add(size_bytes, is_held, is_needed);
    use.needed_bytes += is_needed ? size_bytes : 0;
    if (is_held) {
      use.held_bytes += size_bytes;
    } else {
      has_all[chunks[chunk].member] = false;
    }
    if (const uint8_t came = came_[chunk].load(std::memory_order_relaxed); came != 0) {
      LayerUse::Came& part = use.came[came - 1];
      part.bytes += size_bytes;
      part.needed_bytes += is_needed ? size_bytes : 0;
      use.wasted_bytes += is_needed ? 0 : size_bytes;
    }
  }
  use.parts = parts.Take();
  for (size_t member = 0; member < has_all.size(); ++member) {
    use.held_blob_bytes += has_all[member] ? table.members()[member].blob_size : 0;
  }
  for (size_t i = 0; i < fetched_.size(); ++i) {
    use.fetched[i] = {.requests = fetched_[i].requests.load(std::memory_order_relaxed),
                      .bytes = fetched_[i].bytes.load(std::memory_order_relaxed)};
  }
  std::vector<Begun> waiting;
  {
    MutexLock lock(mutex_);
    use.stalls = stalls_;
    for (const auto& [id, begun] : waiting_) {
      waiting.push_back(begun);
    }
  }
  use.waiting.reads = waiting.size();
  std::ranges::stable_sort(waiting, {}, &Begun::at);
  waiting.resize(std::min(waiting.size(), kWorst));
  for (const Begun& begun : waiting) {
    use.waiting.longest.push_back({.range = begun.range,
                                   .waited = now - begun.at,
                                   .container = begun.asker ? begun.asker->container() : ""});
  }
  return use;
}

}  // namespace starling::layer
