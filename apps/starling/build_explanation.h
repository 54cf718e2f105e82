#pragma once

#include <string>
#include <vector>

#include "dockerfile/build/builder.h"
#include "dockerfile/plan/graph.h"

namespace starling::cli {

/// For each step of `graph`: whether it is cached, its key, and if it is not, which part of that
/// has changed. In the order of `reports`.
std::string ExplanationText(const dockerfile::plan::Graph& graph,
                            const std::vector<dockerfile::build::KeyReport>& reports);
/// The same as an array of objects: title, line, key, cached, changed.
std::string ExplanationJson(const dockerfile::plan::Graph& graph,
                            const std::vector<dockerfile::build::KeyReport>& reports);

}  // namespace starling::cli
