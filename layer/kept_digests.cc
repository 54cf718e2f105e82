#include "layer/kept_digests.h"

#include <algorithm>
#include <string_view>
#include <utility>

namespace starling::layer {
namespace {

constexpr std::string_view kFileName = "digests";
/// A layer has at most a few million chunks of 20 bytes each.
constexpr uint64_t kMaxFileBytes = 256 << 20;
/// What the key and the list itself take, about.
constexpr uint64_t kListBytes = 256;

uint64_t BytesOf(const ChunkDigests& digests) {
  return kListBytes + digests.entries().size_bytes();
}

}  // namespace

Status KeptDigests::Add(const store::LayerKey& key, ChunkDigests digests) {
  RETURN_IF_ERROR(layers_.WriteDerived(key, kFileName, digests.Serialize()));
  Remember(key, std::make_shared<const ChunkDigests>(std::move(digests)));
  return OkStatus();
}

StatusOr<std::shared_ptr<const ChunkDigests>> KeptDigests::Find(const store::LayerKey& key) {
  {
    MutexLock lock(mutex_);
    if (const auto found = in_memory_.find(key); found != in_memory_.end()) {
      found->second.used = ++uses_;
      return found->second.digests;
    }
  }
  ASSIGN_OR_RETURN(const Bytes file, layers_.ReadDerived(key, kFileName, kMaxFileBytes));
  ASSIGN_OR_RETURN(ChunkDigests parsed, ChunkDigests::Parse(file));
  auto digests = std::make_shared<const ChunkDigests>(std::move(parsed));
  Remember(key, digests);
  return digests;
}

void KeptDigests::Remember(const store::LayerKey& key,
                           std::shared_ptr<const ChunkDigests> digests) {
  const uint64_t size_bytes = BytesOf(*digests);
  MutexLock lock(mutex_);
  if (size_bytes > kMaxBytes ||
      !in_memory_.try_emplace(key, InMemory{.digests = std::move(digests), .used = ++uses_})
           .second) {
    return;
  }
  bytes_in_memory_ += size_bytes;
  while (bytes_in_memory_ > kMaxBytes) {
    const auto oldest = std::ranges::min_element(
        in_memory_, {}, [](const auto& entry) { return entry.second.used; });
    bytes_in_memory_ -= BytesOf(*oldest->second.digests);
    in_memory_.erase(oldest);
  }
}

}  // namespace starling::layer
