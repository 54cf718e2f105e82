#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <vector>

#include "layer/chunk_table.h"
#include "layer/shared_chunks.h"
#include "store/layer_store.h"

namespace starling::layer {

/// Members of one layer that need not be fetched: the node has all of their chunks, in other layers
/// or doubtful ones of its own. They are not fetched unless that fails. Threads: one at a time.
class MemberCopies {
 public:
  /// None.
  MemberCopies() = default;
  /// Looks at every chunk of `layer`.
  static MemberCopies Find(const store::StoredLayer& layer, const ChunkTable& table,
                           SharedChunks shared);

  bool Has(uint32_t member) const { return member < is_copy_.size() && is_copy_[member]; }
  /// Where other layers hold them; null without any, and once let go of.
  std::shared_ptr<const SharedChunks> shared() const { return shared_; }
  /// The next that `is_free`, in order, each at most once.
  std::optional<uint32_t> Next(const std::function<bool(uint32_t member)>& is_free);
  /// It was tried; with the last one, the other layers are let go of.
  void Remove(uint32_t member);
  /// Lets go of the other layers. What is left has to be fetched, but Has says so only after
  /// Remove.
  void LetGo() { shared_.reset(); }

 private:
  std::shared_ptr<const SharedChunks> shared_;
  std::vector<bool> is_copy_;  // by member; empty without any
  uint64_t left_ = 0;
  uint32_t next_ = 0;  // those before it were returned by Next, or were not free
};

}  // namespace starling::layer
