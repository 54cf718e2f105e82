#include "fuse/layer_table.h"

#include "fuse/node_id.h"

namespace starling::fuse {

Status LayerTable::Add(uint64_t number, std::shared_ptr<layer::LazyLayer> layer) {
  if (number == 0 || number > kMaxLayerNumber) {
    return MakeError(StatusCode::kInvalidArgument,
                     fmt::format("layer number {} is outside 1 to {}", number, kMaxLayerNumber));
  }
  MutexLock lock(mutex_);
  if (!layers_.try_emplace(number, std::move(layer)).second) {
    return MakeError(StatusCode::kAlreadyExists, fmt::format("layer {} is shown already", number));
  }
  return OkStatus();
}

void LayerTable::Replace(uint64_t number, std::shared_ptr<layer::LazyLayer> layer) {
  MutexLock lock(mutex_);
  if (const auto found = layers_.find(number); found != layers_.end()) {
    found->second.swap(layer);  // the other one may go: after the lock
  }
}

std::shared_ptr<layer::LazyLayer> LayerTable::Remove(uint64_t number) {
  MutexLock lock(mutex_);
  const auto node = layers_.extract(number);
  return node.empty() ? nullptr : node.mapped();
}

std::shared_ptr<layer::LazyLayer> LayerTable::Find(uint64_t number) const {
  MutexLock lock(mutex_);
  const auto found = layers_.find(number);
  return found == layers_.end() ? nullptr : found->second;
}

std::vector<uint64_t> LayerTable::Numbers() const {
  MutexLock lock(mutex_);
  std::vector<uint64_t> numbers;
  numbers.reserve(layers_.size());
  for (const auto& [number, layer] : layers_) {
    numbers.push_back(number);
  }
  return numbers;
}

}  // namespace starling::fuse
