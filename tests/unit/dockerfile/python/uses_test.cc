#include "dockerfile/python/uses.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "dockerfile/plan/plan.h"

namespace starling::dockerfile::python {
namespace {

/// Any image is there and has nothing.
class AnyImage : public plan::ImageResolver {
  StatusOr<plan::BaseImage> ResolveImage(const std::string& reference,
                                         const oci::Platform& platform) override {
    return plan::BaseImage{.reference = reference,
                           .platform = platform,
                           .manifest = oci::Digest::Of(AsBytes(reference)),
                           .config = R"({"os":"linux","architecture":"amd64"})"};
  }
};

plan::Plan PlanOf(const std::string& text) {
  AnyImage images;
  plan::PlanSettings settings;
  settings.named_contexts["python-3.12"] = "python://3.12";
  const auto plan = plan::MakePlan(syntax::ParseDockerfile(text), settings, images);
  EXPECT_TRUE(plan.ok()) << (plan.ok() ? "" : plan.status().message);
  return *plan;
}

/// "BASE ROOT", as kinds of operations' indexes.
std::vector<std::string> Placements(const plan::Plan& plan) {
  std::vector<std::string> found;
  for (const Placement& placement : PlacementsOf(plan.graph, "python-3.12")) {
    const auto* image = std::get_if<plan::ImageSource>(&plan.graph.nodes[placement.root].operation);
    found.push_back(fmt::format("{} {}", placement.base == placement.root ? "root" : "step",
                                image != nullptr ? image->reference : "scratch"));
  }
  return found;
}

TEST(PlacementsOf, AreTheBasesOfStepsThatTakeFromTheContext) {
  struct Case {
    const char* name;
    const char* text;
    std::vector<std::string> want;
    bool is_below_root;
  };
  const Case cases[] = {
      {"on an image",
       "FROM a\nCOPY --link --from=python-3.12 /python/. /usr/local\n",
       {"root docker.io/library/a:latest"},
       true},
      {"on steps",
       "FROM a\nRUN x\nCOPY --link --from=python-3.12 /python/. /usr/local\nRUN y\n",
       {"step docker.io/library/a:latest"},
       true},
      {"on nothing",
       "FROM scratch\nCOPY --from=python-3.12 /python/. /usr/local\n",
       {"root scratch"},
       true},
      {"in another stage",
       "FROM a AS one\nCOPY --from=python-3.12 /python/. /usr/local\nFROM b\nCOPY --from=one /x "
       "/x\n",
       {"root docker.io/library/a:latest"},
       false},
      {"in two stages",
       "FROM a AS one\nCOPY --from=python-3.12 /python/. /usr/local\nFROM b\nCOPY "
       "--from=python-3.12 /python/. /usr/local\nCOPY --from=one /x /x\n",
       {"root docker.io/library/a:latest", "root docker.io/library/b:latest"},
       true},
      {"as a mount",
       "FROM a\nRUN --mount=from=python-3.12,target=/p x\n",
       {"root docker.io/library/a:latest"},
       true},
      {"nowhere", "FROM a\nCOPY --from=b /x /x\n", {}, false},
  };
  for (const Case& c : cases) {
    const plan::Plan plan = PlanOf(c.text);
    EXPECT_THAT(Placements(plan), ::testing::UnorderedElementsAreArray(c.want)) << c.name;
    EXPECT_EQ(IsBelow(plan.graph, "python-3.12", plan.root), c.is_below_root) << c.name;
  }
}

}  // namespace
}  // namespace starling::dockerfile::python
