#pragma once

#include <chrono>
#include <string>
#include <vector>

#include "oci/descriptor.h"
#include "oci/digest.h"

namespace starling::dockerfile::build {

/// One layer of a tree.
struct Layer {
  oci::Descriptor blob;
  oci::Digest diff_id;
  /// Of an image's own layers: a registry has the blob, containerd need not.
  bool is_of_base = false;
  /// When it was made; nothing is known of those of a base.
  std::chrono::sys_seconds created{};

  friend bool operator==(const Layer&, const Layer&) = default;
};

/// The root file system that a step starts from or leaves: a committed snapshot.
struct Tree {
  std::vector<Layer> layers;  // bottom first
  /// The snapshot's name, which is its chain ID; empty for no files at all.
  std::string snapshot;

  friend bool operator==(const Tree&, const Tree&) = default;
};

}  // namespace starling::dockerfile::build
