#include "dockerfile/python/uses.h"

#include <algorithm>
#include <optional>

namespace starling::dockerfile::python {
namespace {

using plan::NodeId;

bool Takes(const plan::Graph& graph, NodeId node, const std::string& name) {
  const std::vector<NodeId> inputs = plan::InputsOf(graph.nodes[node].operation);
  return std::any_of(inputs.begin(), inputs.end(), [&](NodeId input) {
    const auto* context = std::get_if<plan::ContextSource>(&graph.nodes[input].operation);
    return context != nullptr && context->name == name;
  });
}

}  // namespace

std::vector<Placement> PlacementsOf(const plan::Graph& graph, const std::string& name) {
  std::vector<Placement> placements;
  for (NodeId node = 0; node < graph.nodes.size(); ++node) {
    const std::optional<NodeId> base = plan::BaseOf(graph.nodes[node].operation);
    if (!base || !Takes(graph, node, name)) {
      continue;
    }
    Placement placement{.base = *base, .root = *base};
    while (const std::optional<NodeId> below =
               plan::BaseOf(graph.nodes[placement.root].operation)) {
      placement.root = *below;
    }
    placements.push_back(placement);
  }
  return placements;
}

bool IsBelow(const plan::Graph& graph, const std::string& name, NodeId top) {
  for (std::optional<NodeId> node = top; node; node = plan::BaseOf(graph.nodes[*node].operation)) {
    if (Takes(graph, *node, name)) {
      return true;
    }
  }
  return false;
}

}  // namespace starling::dockerfile::python
