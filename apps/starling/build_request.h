#pragma once

#include <cstdint>
#include <optional>
#include <vector>

#include "apps/starling/build_options.h"
#include "apps/starling/build_run.h"
#include "base/status.h"
#include "dockerfile/build/builder.h"
#include "dockerfile/plan/plan.h"
#include "oci/descriptor.h"
#include "oci/platform.h"

namespace starling::cli {

/// What the command line says, in the types of who acts on it.
struct BuildRequest {
  dockerfile::plan::PlanSettings plan;
  dockerfile::build::BuildSettings build;
  std::vector<BuildOutput> outputs;
  std::vector<BuildCache> cache_to;
  std::vector<BuildCache> cache_from;
  std::vector<oci::Platform> platforms;
  oci::Annotations annotations;
  bool docker_media_types = false;
  bool force_compression = false;
  std::optional<ProvenanceOptions> provenance;
};

/// Errors: kInvalidArgument names the option; those of files that options name.
StatusOr<BuildRequest> ReadBuildRequest(const BuildArguments& arguments);

/// SOURCE_DATE_EPOCH of the build arguments, else of the environment. kInvalidArgument for what is
/// no number of seconds.
StatusOr<std::optional<int64_t>> SourceDateEpoch(const dockerfile::syntax::BuildSettings& settings);

}  // namespace starling::cli
