#pragma once

#include <string>

#include "dockerfile/plan/graph.h"

namespace starling::dockerfile::plan {

/// One word for what a node does: "image", "context", "run", ...
std::string KindOf(const Operation& operation);

/// A line for each node: its number, what it is, its inputs, and where it stands.
std::string GraphText(const Graph& graph, NodeId root);
/// The same with all parts of each operation, as JSON.
std::string GraphJson(const Graph& graph, NodeId root);

}  // namespace starling::dockerfile::plan
