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
  /// Of a layer that a build did not make here: an image that has it, by which a registry has the
  /// blob; containerd need not. Empty: containerd has it.
  std::string origin;
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
