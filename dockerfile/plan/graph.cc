#include "dockerfile/plan/graph.h"

#include <set>

namespace starling::dockerfile::plan {

std::string FileNameOf(const HttpSource& source) {
  std::string_view path = source.url;
  path = path.substr(0, path.find_first_of("?#"));
  const size_t host = path.find("://");
  const size_t begin = path.find('/', host == std::string_view::npos ? 0 : host + 3);
  const std::string_view name =
      begin == std::string_view::npos ? "" : path.substr(path.rfind('/') + 1);
  return name.empty() || name == "." || name == ".." ? "__unnamed__" : std::string(name);
}

std::optional<NodeId> BaseOf(const Operation& operation) {
  if (const auto* run = std::get_if<Run>(&operation)) {
    return run->base;
  }
  if (const auto* copy = std::get_if<Copy>(&operation)) {
    return copy->base;
  }
  if (const auto* directory = std::get_if<MakeDirectory>(&operation)) {
    return directory->base;
  }
  return std::nullopt;
}

std::vector<NodeId> InputsOf(const Operation& operation) {
  std::vector<NodeId> inputs;
  if (const std::optional<NodeId> base = BaseOf(operation)) {
    inputs.push_back(*base);
  }
  if (const auto* run = std::get_if<Run>(&operation)) {
    for (const RunMount& mount : run->mounts) {
      if (mount.input) {
        inputs.push_back(*mount.input);
      }
    }
  } else if (const auto* copy = std::get_if<Copy>(&operation)) {
    for (const CopySource& source : copy->sources) {
      inputs.push_back(source.input);
    }
  }
  return inputs;
}

std::vector<NodeId> NeededBy(const Graph& graph, NodeId root) {
  std::set<NodeId> needed = {root};
  for (NodeId node = root + 1; node-- > 0;) {
    if (needed.contains(node)) {
      for (const NodeId input : InputsOf(graph.nodes[node].operation)) {
        needed.insert(input);
      }
    }
  }
  return {needed.begin(), needed.end()};
}

}  // namespace starling::dockerfile::plan
