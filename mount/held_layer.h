#pragma once

#include <memory>

#include "layer/gap_log.h"
#include "layer/lazy_layer.h"
#include "layer/run_recordings.h"
#include "store/layer_store.h"

namespace starling::mount {

/// An open layer: its engine and its files.
struct HeldLayer {
  std::shared_ptr<layer::LazyLayer> layer;
  std::shared_ptr<store::StoredLayer> stored;
  std::shared_ptr<layer::ReadTap> tap;  // null: nothing is recorded
  std::shared_ptr<layer::GapLog> gaps;  // null: its diffID is known, or cannot be
  bool is_new = false;                  // nothing of it was here before
};

}  // namespace starling::mount
