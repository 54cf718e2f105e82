// Property: any Dockerfile becomes a plan or is refused; in a plan each node's inputs stand before
// it, paths are clean and absolute, keys do not depend on where nodes stand, and the configuration
// is JSON that is read back. The first line is the base image's configuration.
#include <cstdint>
#include <cstdlib>
#include <string>
#include <string_view>

#include "base/bytes.h"
#include "dockerfile/plan/keys.h"
#include "dockerfile/plan/plan.h"
#include "dockerfile/plan/print.h"
#include "oci/image_config.h"

namespace {

using namespace starling;                    // NOLINT(google-build-using-namespace)
using namespace starling::dockerfile::plan;  // NOLINT(google-build-using-namespace)

void Require(bool condition) {
  if (!condition) {
    std::abort();
  }
}

/// Every image has the same configuration.
class OneImage : public ImageResolver {
 public:
  explicit OneImage(std::string config) : config_(std::move(config)) {}
  StatusOr<BaseImage> ResolveImage(const std::string& reference,
                                   const oci::Platform& platform) override {
    return BaseImage{.reference = reference,
                     .platform = platform,
                     .manifest = oci::Digest::Of(AsBytes(reference)),
                     .config = config_};
  }

 private:
  const std::string config_;
};

bool IsAbsolute(std::string_view path) {
  return path.starts_with('/') && path.find("/../") == std::string_view::npos;
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  const std::string_view text(reinterpret_cast<const char*>(data), size);
  const size_t line_end = text.find('\n');
  if (line_end == std::string_view::npos) {
    return 0;
  }
  OneImage images{std::string(text.substr(0, line_end))};
  PlanSettings settings;
  settings.named_contexts = {{"named", "/some/directory"}, {"again", "target:named"}};
  settings.build.arguments = {{"A", "${B}"}, {"http_proxy", "p"}};
  const auto plan =
      MakePlan(dockerfile::syntax::ParseDockerfile(text.substr(line_end + 1)), settings, images);
  if (!plan.ok()) {
    Require(!plan.status().message.empty());
    return 0;
  }
  const std::vector<Node>& nodes = plan->graph.nodes;
  Require(plan->root < nodes.size());
  for (NodeId node = 0; node < nodes.size(); ++node) {
    for (const NodeId input : InputsOf(nodes[node].operation)) {
      Require(input < node);
    }
    if (const auto* copy = std::get_if<Copy>(&nodes[node].operation)) {
      Require(IsAbsolute(copy->destination) && !copy->sources.empty());
      for (const CopySource& source : copy->sources) {
        Require(!source.path.starts_with('/') && !source.path.starts_with("../"));
      }
    } else if (const auto* directory = std::get_if<MakeDirectory>(&nodes[node].operation)) {
      Require(IsAbsolute(directory->path));
    } else if (const auto* run = std::get_if<Run>(&nodes[node].operation)) {
      Require(!run->arguments.empty());
    }
    Operation moved = nodes[node].operation;
    if (auto* run = std::get_if<Run>(&moved)) {
      run->base += 1;
    }
    Require(KeyOf(KeyPartsOf(moved)) == KeyOf(KeyPartsOf(nodes[node].operation)));
  }
  Require(!GraphText(plan->graph, plan->root).empty());
  GraphJson(plan->graph, plan->root);
  const std::string config = ConfigJson(plan->image, {}, {});
  Require(ImageDraft::FromBase(config).ok() || config.size() > oci::kMaxConfigBytes ||
          plan->image.platform.os.empty());
  return 0;
}
