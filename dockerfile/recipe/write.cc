#include "dockerfile/recipe/write.h"

#include <type_traits>

#include "dockerfile/recipe/fields.h"
#include "oci/json_fields.h"

namespace starling::dockerfile::recipe {
namespace {

using oci::Json;

/// Visits the members of a step; those that say nothing are left out.
class FieldWriter {
 public:
  explicit FieldWriter(Json& object) : object_(object) {}

  template <typename T>
  void operator()(const char* name, const T& member, Need need) {
    if (need == Need::kRequired || member != T{}) {
      object_[name] = ToJson(member);
    }
  }

 private:
  static Json ToJson(const std::string& text) { return text; }
  static Json ToJson(bool value) { return value; }
  static Json ToJson(const ContextPath& path) {
    return {{"context", path.context}, {"path", path.path}};
  }
  static Json ToJson(const SecretVariable& secret) {
    return {{"id", secret.id}, {"variable", secret.variable}};
  }
  static Json ToJson(const NamedValues& values) {
    Json object = Json::object();
    for (const auto& [name, value] : values) {
      object[name] = value;
    }
    return object;
  }
  template <typename T>
  static Json ToJson(const std::optional<T>& value) {
    return ToJson(*value);
  }
  template <typename T>
  static Json ToJson(const std::vector<T>& values) {
    Json list = Json::array();
    for (const T& value : values) {
      list.push_back(ToJson(value));
    }
    return list;
  }

  Json& object_;
};

}  // namespace

std::string WriteRecipe(const Recipe& recipe) {
  Json document = {{"version", kRecipeVersion},
                   {"builder_version", recipe.builder_version},
                   {"steps", Json::array()}};
  for (const Step& step : recipe.steps) {
    Json object = Json::object();
    std::visit(
        [&object]<typename T>(const T& value) {
          object["step"] = T::kStep;
          FieldWriter writer(object);
          DescribeStep(writer, value);
        },
        step);
    document["steps"].push_back(std::move(object));
  }
  return document.dump(2, ' ', /*ensure_ascii=*/false, Json::error_handler_t::replace) + "\n";
}

}  // namespace starling::dockerfile::recipe
