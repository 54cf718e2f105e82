#include "dockerfile/recipe/read.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

namespace starling::dockerfile::recipe {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;

StatusOr<Recipe> Parse(const std::string& text) { return ParseRecipe(AsBytes(text)); }

std::string WithSteps(const std::string& steps) {
  return R"({"version": 1, "steps": [{"step": "from", "image": "scratch"})" +
         (steps.empty() ? "" : ", " + steps) + "]}";
}

TEST(ParseRecipe, ReadsTypedSteps) {
  const auto recipe = Parse(WithSteps(
      R"({"step": "copy", "source": {"context": "local-1", "path": "a"}, "destination": "/b"},
         {"step": "env", "variables": {"B": "2", "A": "1"}},
         {"step": "pip", "packages": ["x"], "pre": true,
          "secrets": [{"id": "s", "variable": "V"}]})"));
  ASSERT_TRUE(recipe.ok()) << recipe.status();
  EXPECT_THAT(
      recipe->steps,
      ElementsAre(Step(From{.image = "scratch", .platform = {}}),
                  Step(Copy{.source = {"local-1", "a"}, .destination = "/b", .ignore = {}}),
                  Step(Env{{{"B", "2"}, {"A", "1"}}}), ::testing::VariantWith<Pip>(::testing::_)));
  const auto& pip = std::get<Pip>(recipe->steps.back());
  EXPECT_TRUE(pip.pre);
  EXPECT_THAT(pip.secrets, ElementsAre(SecretVariable{"s", "V"}));
}

TEST(ParseRecipe, NamesThePlaceOfWhatItRefuses) {
  const struct {
    std::string_view name;
    std::string text;
    std::string_view want;
  } cases[] = {
      {.name = "no JSON", .text = "{", .want = "recipe: not a JSON object"},
      {.name = "a list", .text = "[]", .want = "not a JSON object"},
      {.name = "no version", .text = R"({"steps": []})", .want = "/version: the format's version"},
      {.name = "later version",
       .text = R"({"version": 2, "steps": []})",
       .want = "/version: 2 is not a version that this program knows; it reads 1"},
      {.name = "version as text",
       .text = R"({"version": "1", "steps": []})",
       .want = "/version: \"1\" is not"},
      {.name = "newer builder",
       .text = R"({"version": 1, "builder_version": 3, "steps": []})",
       .want = "/builder_version: 3 is not a version of the builder that this program knows, which "
               "are 1 to 2; a newer Starling may"},
      {.name = "builder 0",
       .text = R"({"version": 1, "builder_version": 0, "steps": []})",
       .want = "/builder_version: 0 is not a version of the builder that this program knows"},
      {.name = "builder of another kind",
       .text = R"({"version": 1, "builder_version": "1", "steps": []})",
       .want = "/builder_version: this must be a number"},
      {.name = "a number that is none",
       .text = R"({"version": 1, "builder_version": 1e99, "steps": []})",
       .want = "/builder_version: this must be a number"},
      {.name = "steps", .text = R"({"version": 1, "steps": {}})", .want = "/steps: this must be"},
      {.name = "unknown at the top",
       .text = R"({"version": 1, "steps": [], "x/y": 1})",
       .want = "/x~1y: there is no such member"},
      {.name = "twice",
       .text = R"({"version": 1, "steps": [], "steps": []})",
       .want = "\"steps\" is there twice"},
      {.name = "twice in a step",
       .text = WithSteps(R"({"step": "env", "variables": {"A": "1", "A": "2"}})"),
       .want = "\"A\" is there twice"},
      {.name = "too deep",
       .text = R"({"version": )" + std::string(100, '[') + std::string(100, ']') + "}",
       .want = "nested more than 8 deep"},
      {.name = "no base", .text = R"({"version": 1, "steps": []})", .want = "/steps/0: the first"},
      {.name = "no object", .text = WithSteps("1"), .want = "/steps/1: a step must be an object"},
      {.name = "no kind", .text = WithSteps("{}"), .want = "/steps/1: \"step\" is missing"},
      {.name = "unknown kind",
       .text = WithSteps(R"({"step": "rum"})"),
       .want = "/steps/1/step: there is no step \"rum\" (did you mean run?)"},
      {.name = "unknown member",
       .text = WithSteps(R"({"step": "pip", "package": ["a"]})"),
       .want = "/steps/1/package: there is no such member here (did you mean packages?)"},
      {.name = "missing member",
       .text = WithSteps(R"({"step": "workdir"})"),
       .want = "/steps/1: \"path\" is missing"},
      {.name = "no string",
       .text = WithSteps(R"({"step": "workdir", "path": 1})"),
       .want = "/steps/1/path: this must be a string"},
      {.name = "null is no absence",
       .text = WithSteps(R"({"step": "uv_pip", "packages": ["a"], "uv_version": null})"),
       .want = "/steps/1/uv_version: this must be a string"},
      {.name = "no boolean",
       .text = WithSteps(R"({"step": "pip", "packages": ["a"], "pre": "yes"})"),
       .want = "/steps/1/pre: this must be true or false"},
      {.name = "no list",
       .text = WithSteps(R"({"step": "pip", "packages": "a"})"),
       .want = "/steps/1/packages: this must be a list"},
      {.name = "in a list",
       .text = WithSteps(R"({"step": "pip", "packages": ["a", 1]})"),
       .want = "/steps/1/packages/1: this must be a string"},
      {.name = "no object of values",
       .text = WithSteps(R"({"step": "env", "variables": []})"),
       .want = "/steps/1/variables: this must be an object"},
      {.name = "value of a name",
       .text = WithSteps(R"({"step": "env", "variables": {"a/b": 1}})"),
       .want = "/steps/1/variables/a~1b: this must be a string"},
      {.name = "no path",
       .text = WithSteps(R"({"step": "copy", "source": "a", "destination": "/a"})"),
       .want = "/steps/1/source: this must be an object"},
      {.name = "member of a path",
       .text = WithSteps(
           R"({"step": "copy", "source": {"context": "c", "file": ""}, "destination": "/a"})"),
       .want = "/steps/1/source: \"path\" is missing"},
      {.name = "checked, too",
       .text = WithSteps(R"({"step": "pip", "packages": ["--pre"]})"),
       .want = "/steps/1/packages/0: \"--pre\" is an option"},
  };
  for (const auto& c : cases) {
    SCOPED_TRACE(c.name);
    const auto recipe = Parse(c.text);
    EXPECT_EQ(recipe.status().code(), StatusCode::kInvalidArgument);
    EXPECT_THAT(std::string(MessageOf(recipe.status())), HasSubstr(std::string(c.want)));
  }
}

TEST(ParseRecipe, IsBounded) {
  EXPECT_EQ(Parse(std::string(kMaxRecipeBytes + 1, ' ')).status().code(),
            StatusCode::kResourceExhausted);
  std::string steps;
  for (size_t i = 0; i < kMaxRecipeSteps; ++i) {
    steps += (i == 0 ? "" : ",") + std::string("{}");
  }
  EXPECT_EQ(Parse(WithSteps(steps)).status().code(), StatusCode::kResourceExhausted);
}

}  // namespace
}  // namespace starling::dockerfile::recipe
