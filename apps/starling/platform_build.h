#pragma once

#include <map>
#include <string>
#include <vector>

#include "dockerfile/build/builder.h"
#include "dockerfile/build/image_writer.h"
#include "dockerfile/plan/plan.h"

namespace starling::cli {

/// One platform's plan, and what came of it.
struct PlatformBuild {
  dockerfile::plan::Plan plan;
  /// Contexts that only this platform has.
  std::map<std::string, dockerfile::build::LocalContext> contexts;
  dockerfile::build::BuiltImage image;
  dockerfile::build::Tree tree;
  std::string provenance;  // if that is wanted
  /// For each --cache-to that is no inline one.
  std::vector<std::vector<dockerfile::build::CachedResult>> results;
};

}  // namespace starling::cli
