#include "layer/status.h"

#include <functional>
#include <map>
#include <numeric>

namespace starling::layer {

uint64_t ImageStatus::complete_layers() const {
  return static_cast<uint64_t>(std::ranges::count_if(layers, &LayerStatus::is_complete));
}

uint64_t ImageStatus::cost_bytes() const {
  return std::accumulate(
      layers.begin(), layers.end(), uint64_t{0},
      [](uint64_t sum, const LayerStatus& status) { return sum + status.cost_bytes(); });
}

LayerUse ImageStatus::Sum() const {
  LayerUse sum;
  for (const LayerStatus& status : layers) {
    const LayerUse& use = status.use;
    sum.blob_bytes += use.blob_bytes;
    sum.held_blob_bytes += use.held_blob_bytes;
    sum.total_bytes += use.total_bytes;
    sum.held_bytes += use.held_bytes;
    sum.needed_bytes += use.needed_bytes;
    sum.wasted_bytes += use.wasted_bytes;
    for (size_t i = 0; i < kPurposes.size(); ++i) {
      sum.fetched[i].requests += use.fetched[i].requests;
      sum.fetched[i].bytes += use.fetched[i].bytes;
      sum.came[i].bytes += use.came[i].bytes;
      sum.came[i].needed_bytes += use.came[i].needed_bytes;
    }
    sum.waiting.reads += use.waiting.reads;
    sum.stalls.reads += use.stalls.reads;
    sum.stalls.failed += use.stalls.failed;
    sum.stalls.times += use.stalls.times;
  }
  return sum;
}

std::vector<NamedRead> ImageStatus::WorstReads() const {
  std::vector<NamedRead> worst;
  for (const LayerStatus& status : layers) {
    worst.insert(worst.end(), status.worst_reads.begin(), status.worst_reads.end());
  }
  std::ranges::stable_sort(worst, std::greater(),
                           [](const NamedRead& named) { return named.read.times.total(); });
  worst.resize(std::min(worst.size(), LayerTally::kWorst));
  return worst;
}

std::vector<NamedWait> ImageStatus::LongestWaits() const {
  std::vector<NamedWait> longest;
  for (const LayerStatus& status : layers) {
    longest.insert(longest.end(), status.waits.begin(), status.waits.end());
  }
  std::ranges::stable_sort(longest, std::greater(),
                           [](const NamedWait& wait) { return wait.read.waited; });
  longest.resize(std::min(longest.size(), LayerTally::kWorst));
  return longest;
}

std::vector<ImageStatus> ByImage(const std::vector<LayerStatus>& layers) {
  std::map<std::string, std::vector<LayerStatus>> by_name;
  for (const LayerStatus& status : layers) {
    for (const std::string& image : status.images) {
      by_name[image].push_back(status);
    }
    if (status.images.empty()) {
      by_name[""].push_back(status);
    }
  }
  std::vector<ImageStatus> images;
  for (auto& [name, of_image] : by_name) {
    std::ranges::stable_sort(of_image, {}, &LayerStatus::number);
    ImageStatus image{.name = name, .credentials = {}, .layers = std::move(of_image)};
    for (const LayerStatus& status : image.layers) {
      if (const auto found = status.credentials.find(name); found != status.credentials.end()) {
        image.credentials = found->second;
      }
    }
    images.push_back(std::move(image));
  }
  return images;
}

std::optional<double> AheadHitRate(const LayerUse& use) {
  LayerUse::Came ahead;
  for (const Purpose purpose : {Purpose::kReadahead, Purpose::kPrefetch}) {
    const LayerUse::Came& part = use.came[static_cast<size_t>(purpose)];
    ahead.bytes += part.bytes;
    ahead.needed_bytes += part.needed_bytes;
  }
  if (ahead.bytes == 0) {
    return std::nullopt;
  }
  return static_cast<double>(ahead.needed_bytes) / static_cast<double>(ahead.bytes);
}

}  // namespace starling::layer
