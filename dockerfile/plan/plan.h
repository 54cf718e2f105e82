#pragma once

#include <map>
#include <optional>
#include <set>
#include <string>
#include <vector>

#include "base/status.h"
#include "dockerfile/plan/graph.h"
#include "dockerfile/plan/image_draft.h"
#include "dockerfile/syntax/checked.h"
#include "dockerfile/syntax/dockerfile.h"
#include "dockerfile/syntax/variables.h"
#include "oci/digest.h"
#include "oci/platform.h"

namespace starling::dockerfile::plan {

/// What is known of an image that a stage begins with or takes files from.
struct BaseImage {
  /// As in ImageSource.
  std::string reference;
  oci::Platform platform;
  oci::Digest manifest;
  /// The image's configuration, untrusted JSON.
  std::string config;
};

/// Finds images. Only those that the result needs are asked for, each once.
class ImageResolver {
 public:
  virtual ~ImageResolver() = default;
  /// `reference` as in ImageSource. Blocks.
  virtual StatusOr<BaseImage> ResolveImage(const std::string& reference,
                                           const oci::Platform& platform) = 0;
};

struct PlanSettings {
  syntax::BuildSettings build;
  /// --build-context NAME=VALUE: a directory, docker-image://REFERENCE,
  /// oci-layout://DIRECTORY[:TAG], a git reference, an http(s) URL, or target:STAGE.
  std::map<std::string, std::string> named_contexts;
  /// --label: over those of the Dockerfile.
  std::map<std::string, std::string> labels;
  bool no_cache = false;
  std::set<std::string> no_cache_stages;  // --no-cache-filter, in any case
  /// Of RUN without --network.
  syntax::Network network = syntax::Network::kDefault;
};

struct Plan {
  Graph graph;
  /// The node whose files the image has.
  NodeId root = 0;
  oci::Platform platform;
  ImageDraft image;
};

/// More is refused.
inline constexpr size_t kMaxNodes = 20000;
/// Of environments, history, labels and files of the Dockerfile, over all steps: each step of a
/// Dockerfile of a megabyte may have a megabyte of environment.
inline constexpr size_t kMaxPlanBytes = size_t{256} << 20U;

/// Pure but for `resolver`. Stages that the target does not need are not even resolved.
syntax::Checked<Plan> MakePlan(const syntax::Dockerfile& dockerfile, const PlanSettings& settings,
                               ImageResolver& resolver);

}  // namespace starling::dockerfile::plan
