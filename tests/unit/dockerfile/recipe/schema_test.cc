/// docs/recipe.schema.json says what the reader reads.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <fstream>
#include <nlohmann/json.hpp>
#include <set>

#include "dockerfile/recipe/fields.h"

namespace starling::dockerfile::recipe {
namespace {

using nlohmann::json;

/// The shape of each type of member, as the schema writes it.
json ShapeOf(const std::string& /*member*/) { return {{"type", "string"}}; }
json ShapeOf(bool /*member*/) { return {{"type", "boolean"}}; }
json ShapeOf(const ContextPath& /*member*/) { return {{"$ref", "#/$defs/contextPath"}}; }
json ShapeOf(const SecretVariable& /*member*/) { return {{"$ref", "#/$defs/secretVariable"}}; }
json ShapeOf(const NamedValues& /*member*/) { return {{"$ref", "#/$defs/namedValues"}}; }
template <typename T>
json ShapeOf(const std::vector<T>& /*member*/) {
  return {{"type", "array"}, {"items", ShapeOf(T{})}};
}
template <typename T>
json ShapeOf(const std::optional<T>& /*member*/) {
  return ShapeOf(T{});
}

struct SchemaOfStep {
  json properties;
  std::set<std::string> required = {"step"};

  template <typename T>
  void operator()(const char* name, const T& member, Need need) {
    properties[name] = ShapeOf(member);
    if (need == Need::kRequired) {
      required.insert(name);
    }
  }
};

template <typename... T>
void CheckSteps(const json& schemas, std::type_identity<std::variant<T...>> /*alternatives*/) {
  EXPECT_EQ(schemas.size(), sizeof...(T));
  size_t i = 0;
  (
      [&] {
        SCOPED_TRACE(T::kStep);
        const json& schema = schemas.at(i++);
        SchemaOfStep want;
        want.properties["step"] = {{"const", T::kStep}};
        T step;
        DescribeStep(want, step);
        json got = schema.at("properties");
        for (auto& property : got) {
          property.erase("description");
          property.erase("default");
        }
        EXPECT_EQ(got, want.properties);
        EXPECT_EQ(schema.at("required").template get<std::set<std::string>>(), want.required);
        EXPECT_EQ(schema.at("additionalProperties"), false);
      }(),
      ...);
}

TEST(RecipeSchema, SaysWhatIsRead) {
  std::ifstream file(STARLING_SOURCE_DIR "/docs/recipe.schema.json");
  const json schema = json::parse(file);
  EXPECT_EQ(schema.at("properties").at("version").at("const"), kRecipeVersion);
  const json& builder = schema.at("properties").at("builder_version");
  EXPECT_EQ(builder.at("minimum"), kOldestBuilderVersion);
  EXPECT_EQ(builder.at("maximum"), kNewestBuilderVersion);
  CheckSteps(schema.at("properties").at("steps").at("items").at("oneOf"),
             std::type_identity<Step>{});
}

}  // namespace
}  // namespace starling::dockerfile::recipe
