/// What each version of the builder makes of a recipe with every kind of step stays as it was when
/// the version was new. A difference is a new version; the files of an old one never change.
#include <gtest/gtest.h>

#include <cstdlib>
#include <fstream>
#include <set>

#include "dockerfile/plan/keys.h"
#include "dockerfile/plan/plan.h"
#include "dockerfile/plan/print.h"
#include "dockerfile/recipe/read.h"
#include "dockerfile/recipe/render.h"
#include "tests/support/file_tree.h"

namespace starling::dockerfile::recipe {
namespace {

const std::string kFiles =
    STARLING_SOURCE_DIR "/tests/unit/dockerfile/recipe/builder_versions/";  // NOLINT

/// Any image is there, and has a manifest by its name.
class AnyImage : public plan::ImageResolver {
  StatusOr<plan::BaseImage> ResolveImage(const std::string& reference,
                                         const oci::Platform& platform) override {
    return plan::BaseImage{.reference = reference,
                           .platform = platform,
                           .manifest = oci::Digest::Of(AsBytes(reference)),
                           .config = R"({"config": {"Env": ["PATH=/usr/local/bin:/bin"]}})"};
  }
};

Recipe RecipeOf(int builder_version) {
  auto recipe = ParseRecipe(AsBytes(testing_support::ReadWhole(kFiles + "recipe.json")));
  EXPECT_TRUE(recipe.ok()) << recipe.status();
  recipe->builder_version = builder_version;
  return *std::move(recipe);
}

/// The instructions, all parts of all steps, and the keys that come of them.
std::string MadeOf(const Recipe& recipe) {
  const auto rendered = RenderRecipe(recipe);
  EXPECT_TRUE(rendered.ok()) << rendered.status();
  plan::PlanSettings settings{.build = {.arguments = rendered->build_arguments}};
  settings.build.target_platform = *oci::Platform::Parse("linux/amd64");
  for (const std::string& context : rendered->contexts) {
    settings.named_contexts[context] = "directory";
  }
  AnyImage images;
  const auto plan = plan::MakePlan(rendered->dockerfile, settings, images);
  if (!plan.ok()) {
    ADD_FAILURE() << plan.status().message;
    return "";
  }
  std::string made = rendered->text + "\n" + plan::GraphJson(plan->graph, plan->root);
  for (const plan::Node& node : plan->graph.nodes) {
    made += plan::KeyOf(plan::KeyPartsOf(node.operation)).ToString() + "\n";
  }
  return made + plan::ConfigJson(plan->image, {}, {}) + "\n";
}

TEST(BuilderVersions, StayAsTheyWere) {
  for (int version = kOldestBuilderVersion; version <= kNewestBuilderVersion; ++version) {
    const std::string file = kFiles + std::to_string(version) + "/made";
    const std::string made = MadeOf(RecipeOf(version));
    if (std::getenv("STARLING_WRITE_NEW_BUILDER_VERSION") != nullptr &&
        testing_support::ReadWhole(file).empty()) {
      std::ofstream(file) << made;
    }
    EXPECT_EQ(made, testing_support::ReadWhole(file)) << "version " << version;
  }
}

TEST(BuilderVersions, AreSeenWithEveryKindOfStep) {
  std::set<size_t> kinds;
  for (const Step& step : RecipeOf(kNewestBuilderVersion).steps) {
    kinds.insert(step.index());
  }
  // All but a whole Dockerfile, which is its own text.
  EXPECT_EQ(kinds.size(), std::variant_size_v<Step> - 1);
}

}  // namespace
}  // namespace starling::dockerfile::recipe
