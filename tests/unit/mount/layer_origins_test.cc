#include "mount/layer_origins.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <vector>

namespace starling::mount {
namespace {

using testing::ElementsAre;
using testing::Pair;

/// A layer of `image` on the chain `parent`; an empty name is no chain.
struct Layer {
  uint64_t number = 0;
  std::string image;
  std::string chain;
  std::string parent;
};

std::optional<oci::Digest> ChainOf(const std::string& name) {
  return name.empty() ? std::nullopt : std::optional(oci::Digest::Of(AsBytes(name)));
}

LayerOrigins Mounted(const std::vector<Layer>& layers) {
  LayerOrigins origins;
  for (const Layer& layer : layers) {
    LayerSpec spec;
    spec.image = layer.image;
    spec.chain = ChainOf(layer.chain);
    spec.parent_chain = ChainOf(layer.parent);
    origins.Set(layer.number, spec);
  }
  return origins;
}

TEST(LayerOrigins, ALayerIsOfTheImagesThatStandOnIt) {
  const struct {
    const char* name;
    std::vector<Layer> layers;
    std::map<uint64_t, std::set<std::string>> images;
  } cases[] = {
      {"nothing", {}, {}},
      {"one image", {{1, "a", "1", ""}, {2, "a", "2", "1"}}, {{1, {"a"}}, {2, {"a"}}}},
      {"another image asks for what it adds only",
       {{1, "a", "1", ""}, {2, "a", "2", "1"}, {3, "b", "3", "1"}},
       {{1, {"a", "b"}}, {2, {"a"}}, {3, {"b"}}}},
      {"through layers of a third one",
       {{1, "a", "1", ""}, {2, "b", "2", "1"}, {3, "c", "3", "2"}},
       {{1, {"a", "b", "c"}}, {2, {"b", "c"}}, {3, {"c"}}}},
      {"two numbers of one chain",
       {{1, "a", "1", ""}, {2, "b", "1", ""}, {3, "c", "3", "1"}},
       {{1, {"a", "c"}}, {2, {"b", "c"}}, {3, {"c"}}}},
      {"without chains", {{1, "a", "", ""}, {2, "b", "", ""}}, {{1, {"a"}}, {2, {"b"}}}},
      {"chains that a client has bent into a circle",
       {{1, "a", "1", "2"}, {2, "b", "2", "1"}},
       {{1, {"a", "b"}}, {2, {"a", "b"}}}},
  };
  for (const auto& [name, layers, images] : cases) {
    EXPECT_EQ(Mounted(layers).ImagesByNumber(), images) << name;
  }
}

TEST(LayerOrigins, ForgetsWhatIsGone) {
  LayerOrigins origins = Mounted({{1, "a", "1", ""}, {2, "b", "2", "1"}, {3, "b", "3", "2"}});
  EXPECT_EQ(origins.image_count(), 2u);
  origins.Erase(1);
  EXPECT_EQ(origins.image_count(), 1u);
  EXPECT_THAT(origins.ImagesByNumber(),
              ElementsAre(Pair(2, ElementsAre("b")), Pair(3, ElementsAre("b"))));
}

TEST(LayerOrigins, KnowsTheManifestOfEachNumber) {
  LayerSpec spec;
  spec.manifest = oci::Digest::Of(AsBytes("manifest"));
  LayerOrigins origins = Mounted({{2, "b", "", ""}});
  origins.Set(1, spec);
  EXPECT_EQ(origins.ManifestOf(1), spec.manifest);
  EXPECT_EQ(origins.ManifestOf(2), std::nullopt) << "it was not named";
  EXPECT_EQ(origins.ManifestOf(3), std::nullopt);
}

}  // namespace
}  // namespace starling::mount
