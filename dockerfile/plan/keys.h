/// What makes a step the step that it is: equal keys, equal results.
#pragma once

#include <span>
#include <string>
#include <vector>

#include "dockerfile/plan/graph.h"
#include "oci/digest.h"

namespace starling::dockerfile::plan {

/// Changes when the same operation would give something else than before, or keys are made of
/// something else.
inline constexpr int kKeyVersion = 1;

/// One of the things that a key depends on, by a name that people understand.
struct KeyPart {
  std::string name;
  std::string value;

  friend bool operator==(const KeyPart&, const KeyPart&) = default;
};

/// The parts that `operation` itself has; the digests of its inputs are added by who has them.
/// Equal on every machine. Not in it: places, titles, numbers of nodes, proxies, the ids of cache
/// mounts, and secrets, whose ids and targets are.
std::vector<KeyPart> KeyPartsOf(const Operation& operation);

oci::Digest KeyOf(std::span<const KeyPart> parts);

}  // namespace starling::dockerfile::plan
