#include "dockerfile/plan/print.h"

#include <fmt/format.h>
#include <fmt/ranges.h>

#include "dockerfile/plan/keys.h"
#include "oci/json_fields.h"

namespace starling::dockerfile::plan {

std::string KindOf(const Operation& operation) {
  struct Name {
    std::string operator()(const Scratch& /*node*/) const { return "scratch"; }
    std::string operator()(const ImageSource& /*node*/) const { return "image"; }
    std::string operator()(const ContextSource& /*node*/) const { return "context"; }
    std::string operator()(const HttpSource& /*node*/) const { return "download"; }
    std::string operator()(const GitSource& /*node*/) const { return "git"; }
    std::string operator()(const InlineSource& /*node*/) const { return "files"; }
    std::string operator()(const Run& /*node*/) const { return "run"; }
    std::string operator()(const Copy& /*node*/) const { return "copy"; }
    std::string operator()(const MakeDirectory& /*node*/) const { return "directory"; }
  };
  return std::visit(Name(), operation);
}

std::string GraphText(const Graph& graph, NodeId root) {
  std::string text;
  for (NodeId node = 0; node < graph.nodes.size(); ++node) {
    const Node& one = graph.nodes[node];
    const std::vector<NodeId> inputs = InputsOf(one.operation);
    text += fmt::format("{}{} {}", node == root ? "*" : " ", node, KindOf(one.operation));
    if (!inputs.empty()) {
      text += fmt::format(" <- {}", fmt::join(inputs, " "));
    }
    text += fmt::format("  {}", one.title);
    if (one.range.begin.line != 0) {
      text += fmt::format("  (line {})", one.range.begin.line);
    }
    text += "\n";
  }
  return text;
}

std::string GraphJson(const Graph& graph, NodeId root) {
  oci::Json nodes = oci::Json::array();
  for (NodeId node = 0; node < graph.nodes.size(); ++node) {
    const Node& one = graph.nodes[node];
    oci::Json parts = oci::Json::object();
    for (const KeyPart& part : KeyPartsOf(one.operation)) {
      parts[part.name] = part.value;
    }
    nodes.push_back({{"id", node},
                     {"kind", KindOf(one.operation)},
                     {"title", one.title},
                     {"inputs", InputsOf(one.operation)},
                     {"line", one.range.begin.line},
                     {"parts", std::move(parts)}});
  }
  const oci::Json document = {{"root", root}, {"nodes", std::move(nodes)}};
  return document.dump(2, ' ', false, oci::Json::error_handler_t::replace) + "\n";
}

}  // namespace starling::dockerfile::plan
