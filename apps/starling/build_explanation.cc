#include "apps/starling/build_explanation.h"

#include <fmt/format.h>

#include <nlohmann/json.hpp>
#include <optional>

namespace starling::cli {
namespace {

namespace build = dockerfile::build;
namespace plan = dockerfile::plan;

/// Why a step must be done.
std::vector<std::string> ChangesOf(const build::KeyReport& report) {
  std::vector<std::string> changes;
  if (report.is_cached) {
    return changes;
  }
  if (!report.has_former) {
    changes.emplace_back("never done before");
    return changes;
  }
  const auto find = [](const std::vector<plan::KeyPart>& parts, const std::string& name) {
    for (const plan::KeyPart& part : parts) {
      if (part.name == name) {
        return std::optional(part.value);
      }
    }
    return std::optional<std::string>();
  };
  for (const plan::KeyPart& part : report.parts) {
    const auto former = find(report.former_parts, part.name);
    if (!former) {
      changes.push_back(fmt::format("{}: new: {}", part.name, part.value));
    } else if (*former != part.value) {
      changes.push_back(fmt::format("{}: was {}, is {}", part.name, *former, part.value));
    }
  }
  for (const plan::KeyPart& part : report.former_parts) {
    if (!find(report.parts, part.name)) {
      changes.push_back(fmt::format("{}: no longer: {}", part.name, part.value));
    }
  }
  if (changes.empty()) {
    changes.emplace_back("its result is no longer there, or it is to be done again");
  }
  return changes;
}

}  // namespace

std::string ExplanationText(const plan::Graph& graph,
                            const std::vector<build::KeyReport>& reports) {
  std::string text;
  for (const build::KeyReport& report : reports) {
    const plan::Node& node = graph.nodes[report.node];
    if (!plan::BaseOf(node.operation)) {
      continue;
    }
    text += fmt::format("{} {}\n  key {}\n", report.is_cached ? "CACHED" : "RUN   ", node.title,
                        report.key.ToString());
    for (const std::string& change : ChangesOf(report)) {
      text += fmt::format("  {}\n", change);
    }
  }
  return text;
}

std::string ExplanationJson(const plan::Graph& graph,
                            const std::vector<build::KeyReport>& reports) {
  nlohmann::ordered_json document = nlohmann::ordered_json::array();
  for (const build::KeyReport& report : reports) {
    const plan::Node& node = graph.nodes[report.node];
    if (plan::BaseOf(node.operation)) {
      document.push_back({{"title", node.title},
                          {"line", node.range.begin.line},
                          {"key", report.key.ToString()},
                          {"cached", report.is_cached},
                          {"changed", ChangesOf(report)}});
    }
  }
  return document.dump(2, ' ', false, nlohmann::ordered_json::error_handler_t::replace) + "\n";
}

}  // namespace starling::cli
