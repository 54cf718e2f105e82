#include "mount/layer_origins.h"

#include <algorithm>
#include <string_view>
#include <vector>

namespace starling::mount {

size_t LayerOrigins::image_count() const {
  std::set<std::string_view> images;
  for (const auto& [number, origin] : origins_) {
    images.insert(origin.image);
  }
  return images.size();
}

std::optional<oci::Digest> LayerOrigins::ManifestOf(uint64_t number) const {
  const auto found = origins_.find(number);
  return found == origins_.end() ? std::nullopt : found->second.manifest;
}

std::map<uint64_t, std::set<std::string>> LayerOrigins::ImagesByNumber() const {
  std::multimap<oci::Digest, uint64_t> by_chain;
  for (const auto& [number, origin] : origins_) {
    if (origin.chain) {
      by_chain.emplace(*origin.chain, number);
    }
  }
  std::map<uint64_t, std::set<std::string>> images;
  for (const auto& [number, origin] : origins_) {
    std::vector<uint64_t> those_below = {number};
    while (!those_below.empty()) {
      const uint64_t next = those_below.back();
      those_below.pop_back();
      const std::optional<oci::Digest>& parent = origins_.at(next).parent_chain;
      if (images[next].insert(origin.image).second && parent) {
        const auto [first, last] = by_chain.equal_range(*parent);
        std::for_each(first, last, [&](const auto& below) { those_below.push_back(below.second); });
      }
    }
  }
  return images;
}

}  // namespace starling::mount
