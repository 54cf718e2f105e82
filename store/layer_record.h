#pragma once

#include <string>
#include <string_view>

#include "base/status.h"
#include "store/layer_store.h"

namespace starling::store {

/// A file that is written once.
struct FileRecord {
  uint64_t size_bytes = 0;
  oci::Digest digest;

  friend bool operator==(const FileRecord&, const FileRecord&) = default;
};

/// The contents of layer.json.
struct LayerRecord {
  LayerKey key;
  LayerInfo info;
  FileRecord index;
  FileRecord chunk_table;

  friend bool operator==(const LayerRecord&, const LayerRecord&) = default;

  std::string ToJson() const;
  /// kDataLoss for anything that ToJson does not write.
  static StatusOr<LayerRecord> Parse(std::string_view json);
};

/// kInvalidArgument for sizes that no layer has.
Status CheckInfo(const LayerInfo& info);

}  // namespace starling::store
