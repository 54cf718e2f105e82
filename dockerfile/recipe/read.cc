#include "dockerfile/recipe/read.h"

#include <type_traits>

#include "dockerfile/recipe/check.h"
#include "dockerfile/recipe/fields.h"
#include "dockerfile/syntax/suggest.h"
#include "oci/json_fields.h"

namespace starling::dockerfile::recipe {
namespace {

using oci::Json;

// A recipe, its steps, a step, a list, an entry of it.
constexpr int kMaxDepth = 8;

Status Wrong(const std::string& pointer, const std::string& message) {
  return MakeError(StatusCode::kInvalidArgument, pointer + ": " + message);
}

/// A member's name as a part of a JSON pointer (RFC 6901).
std::string PointerPart(std::string_view name) {
  std::string part = "/";
  for (const char c : name) {
    if (c == '~') {
      part += "~0";
    } else if (c == '/') {
      part += "~1";
    } else {
      part += c;
    }
  }
  return part;
}

/// Visits the members of one JSON object; the first error stays.
class FieldReader {
 public:
  FieldReader(const Json& object, std::string pointer)
      : object_(object), pointer_(std::move(pointer)) {}

  template <typename T>
  void operator()(const char* name, T& member, Need need) {
    known_.push_back(name);
    if (!status_.ok()) {
      return;
    }
    const auto found = object_.find(name);
    if (found != object_.end()) {
      Read(*found, pointer_ + PointerPart(name), member);
    } else if (need == Need::kRequired) {
      Fail(pointer_, fmt::format("\"{}\" is missing", name));
    }
  }

  /// Once every member was visited.
  Status Finish() {
    if (!status_.ok()) {
      return status_;
    }
    for (const auto& [name, value] : object_.items()) {
      if (std::find(known_.begin(), known_.end(), name) == known_.end()) {
        return Wrong(pointer_ + PointerPart(name),
                     fmt::format("there is no such member here{}",
                                 syntax::DidYouMean(syntax::Suggest(name, known_))));
      }
    }
    return OkStatus();
  }

 private:
  void Fail(const std::string& pointer, const std::string& message) {
    if (status_.ok()) {
      status_ = Wrong(pointer, message);
    }
  }

  void Read(const Json& value, const std::string& pointer, std::string& member) {
    if (!value.is_string()) {
      Fail(pointer, "this must be a string");
      return;
    }
    member = value.get<std::string>();
  }
  void Read(const Json& value, const std::string& pointer, bool& member) {
    if (!value.is_boolean()) {
      Fail(pointer, "this must be true or false");
      return;
    }
    member = value.get<bool>();
  }
  template <typename T>
  void Read(const Json& value, const std::string& pointer, std::optional<T>& member) {
    Read(value, pointer, member.emplace());
  }
  template <typename T>
  void Read(const Json& value, const std::string& pointer, std::vector<T>& member) {
    if (!value.is_array()) {
      Fail(pointer, "this must be a list");
      return;
    }
    for (const Json& item : value) {
      const std::string item_pointer = fmt::format("{}/{}", pointer, member.size());
      Read(item, item_pointer, member.emplace_back());
    }
  }
  void Read(const Json& value, const std::string& pointer, NamedValues& member) {
    if (!value.is_object()) {
      Fail(pointer, "this must be an object");
      return;
    }
    for (const auto& [name, text] : value.items()) {
      Read(text, pointer + PointerPart(name), member.emplace_back(name, "").second);
    }
  }
  void Read(const Json& value, const std::string& pointer, ContextPath& member) {
    ReadObject(value, pointer, [&member](FieldReader& reader) {
      Required(reader, "context", member.context);
      Required(reader, "path", member.path);
    });
  }
  void Read(const Json& value, const std::string& pointer, SecretVariable& member) {
    ReadObject(value, pointer, [&member](FieldReader& reader) {
      Required(reader, "id", member.id);
      Required(reader, "variable", member.variable);
    });
  }
  template <typename Describe>
  void ReadObject(const Json& value, const std::string& pointer, const Describe& describe) {
    if (!value.is_object()) {
      Fail(pointer, "this must be an object");
      return;
    }
    FieldReader reader(value, pointer);
    describe(reader);
    if (const Status status = reader.Finish(); !status.ok() && status_.ok()) {
      status_ = status;
    }
  }

  const Json& object_;
  const std::string pointer_;
  std::vector<std::string_view> known_;
  Status status_;
};

/// The step of the alternative `T` when `name` is its name.
template <typename T>
bool ReadStepAs(const std::string& name, const Json& object, const std::string& pointer, Step& step,
                Status& status) {
  if (name != T::kStep) {
    return false;
  }
  FieldReader reader(object, pointer);
  std::string same_name;
  Required(reader, "step", same_name);
  DescribeStep(reader, step.emplace<T>());
  status = reader.Finish();
  return true;
}

template <typename... T>
StatusOr<Step> ReadStep(const Json& object, const std::string& pointer,
                        std::type_identity<std::variant<T...>> /*alternatives*/) {
  if (!object.is_object()) {
    return Wrong(pointer, "a step must be an object");
  }
  const auto found = object.find("step");
  if (found == object.end() || !found->is_string()) {
    return Wrong(pointer, "\"step\" is missing: the kind of the step, such as \"run\"");
  }
  const auto name = found->get<std::string>();
  Step step;
  Status status;
  if (!(ReadStepAs<T>(name, object, pointer, step, status) || ...)) {
    const std::string_view names[] = {T::kStep...};
    return Wrong(pointer + "/step", fmt::format("there is no step \"{}\"{}", name,
                                                syntax::DidYouMean(syntax::Suggest(name, names))));
  }
  RETURN_IF_ERROR(status);
  return step;
}

StatusOr<Recipe> Read(ByteSpan json) {
  ASSIGN_OR_RETURN(const Json document, oci::ParseStrictJsonObject(json, kMaxDepth));
  const auto version = document.find("version");
  if (version == document.end()) {
    return Wrong("/version",
                 fmt::format("the format's version is missing; this is {}", kRecipeVersion));
  }
  if (!version->is_number_integer() || *version != kRecipeVersion) {
    return Wrong("/version", fmt::format("{} is not a version that this program knows; it reads {}",
                                         version->dump(), kRecipeVersion));
  }
  Recipe recipe;
  if (const auto builder = document.find("builder_version"); builder != document.end()) {
    constexpr int64_t kMost = 1'000'000;
    if (!builder->is_number_integer() || *builder < 0 || *builder > kMost) {
      return Wrong("/builder_version", "this must be a number of the builder's versions");
    }
    recipe.builder_version = builder->get<int>();
  }
  const auto steps = document.find("steps");
  if (steps == document.end() || !steps->is_array()) {
    return Wrong("/steps", "this must be a list of steps");
  }
  for (const auto& [name, value] : document.items()) {
    if (name != "version" && name != "builder_version" && name != "steps") {
      return Wrong(PointerPart(name), "there is no such member here");
    }
  }
  if (steps->size() > kMaxRecipeSteps) {
    return MakeError(
        StatusCode::kResourceExhausted,
        fmt::format("/steps: {} steps, at most {} are read", steps->size(), kMaxRecipeSteps));
  }
  for (const Json& step : *steps) {
    ASSIGN_OR_RETURN(Step read, ReadStep(step, fmt::format("/steps/{}", recipe.steps.size()),
                                         std::type_identity<Step>{}));
    recipe.steps.push_back(std::move(read));
  }
  RETURN_IF_ERROR(CheckRecipe(recipe));
  return recipe;
}

}  // namespace

StatusOr<Recipe> ParseRecipe(ByteSpan json) {
  if (json.size() > kMaxRecipeBytes) {
    return MakeError(
        StatusCode::kResourceExhausted,
        fmt::format("recipe: {} bytes, at most {} are read", json.size(), kMaxRecipeBytes));
  }
  auto recipe = Read(json);
  if (!recipe.ok()) {
    return Annotate(recipe.status(), "recipe");
  }
  return recipe;
}

}  // namespace starling::dockerfile::recipe
