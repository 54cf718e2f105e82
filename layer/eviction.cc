#include "layer/eviction.h"

#include <algorithm>
#include <utility>
#include <vector>

#include "base/log.h"

namespace starling::layer {

uint64_t MakeRoom(std::span<const std::shared_ptr<LazyLayer>> layers, uint64_t wanted_bytes) {
  // Asked once: reads go on.
  std::vector<std::pair<std::chrono::steady_clock::time_point, LazyLayer*>> by_age;
  for (const std::shared_ptr<LazyLayer>& layer : layers) {
    layer->StopFetchingAhead();
    by_age.emplace_back(layer->last_use(), layer.get());
  }
  std::ranges::sort(by_age);
  uint64_t made_bytes = 0;
  for (const auto which : {LazyLayer::Evictable::kUnread, LazyLayer::Evictable::kAll}) {
    for (const auto& [last_use, layer] : by_age) {
      if (made_bytes >= wanted_bytes) {
        break;
      }
      const auto evicted = layer->Evict(which, wanted_bytes - made_bytes);
      if (evicted.ok()) {
        made_bytes += *evicted;
      } else {
        log::Warning(
            "a layer's chunks could not be evicted",
            {{"layer", layer->key().layer.ToString()}, {"error", Describe(evicted.status())}});
      }
    }
  }
  for (const auto& [last_use, layer] : by_age) {
    layer->ForgetReads();
  }
  return made_bytes;
}

}  // namespace starling::layer
