#include "layer/member_copies.h"

#include <algorithm>
#include <utility>

#include "layer/member_store.h"

namespace starling::layer {

MemberCopies MemberCopies::Find(const store::StoredLayer& layer, const ChunkTable& table,
                                SharedChunks shared) {
  MemberCopies copies;
  if (shared.empty() && layer.doubtful_count() == 0) {
    return copies;
  }
  std::vector<bool> is_copy(table.members().size());
  for (uint32_t member = 0; member < is_copy.size(); ++member) {
    const bool has_all = std::ranges::all_of(table.ChunksOf(member), [&](uint32_t chunk) {
      return shared.Has(chunk) || layer.IsPresent(chunk) || layer.IsDoubtful(chunk);
    });
    if (has_all && IsAbsent(layer, table, member)) {
      is_copy[member] = true;
      ++copies.left_;
    }
  }
  if (copies.left_ > 0) {
    copies.shared_ = std::make_shared<const SharedChunks>(std::move(shared));
    copies.is_copy_ = std::move(is_copy);
  }
  return copies;
}

std::optional<uint32_t> MemberCopies::Next(const std::function<bool(uint32_t member)>& is_free) {
  for (; next_ < is_copy_.size(); ++next_) {
    if (is_copy_[next_] && is_free(next_)) {
      return next_++;
    }
  }
  return std::nullopt;
}

void MemberCopies::Remove(uint32_t member) {
  if (!Has(member)) {
    return;
  }
  is_copy_[member] = false;
  if (--left_ == 0) {
    shared_.reset();
  }
}

}  // namespace starling::layer
