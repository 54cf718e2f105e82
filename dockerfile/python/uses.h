/// Where in a build a context's files are put.
#pragma once

#include <string>
#include <vector>

#include "dockerfile/plan/graph.h"

namespace starling::dockerfile::python {

/// A step's place.
struct Placement {
  /// What the step works on.
  plan::NodeId base = 0;
  /// What lies at the bottom of that: an image or Scratch.
  plan::NodeId root = 0;

  bool operator==(const Placement&) const = default;
};

/// Of each step that takes files from the build context `name`.
std::vector<Placement> PlacementsOf(const plan::Graph& graph, const std::string& name);

/// Whether a step that takes files from the build context `name` is `top` or lies below it.
bool IsBelow(const plan::Graph& graph, const std::string& name, plan::NodeId top);

}  // namespace starling::dockerfile::python
