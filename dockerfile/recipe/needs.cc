#include "dockerfile/recipe/needs.h"

#include <algorithm>

namespace starling::dockerfile::recipe {
namespace {

template <typename... Kinds>
bool IsOneOf(const Step& step) {
  return (std::holds_alternative<Kinds>(step) || ...);
}

bool CallsPython(const Step& step) {
  const auto* poetry = std::get_if<Poetry>(&step);
  return IsOneOf<Pip, UvPip, PythonFunction>(step) ||
         (poetry != nullptr && poetry->poetry_version.has_value());
}

bool CallsPip(const Step& step) { return CallsPython(step) && IsOneOf<Pip, Poetry>(step); }

/// Whether there may be programs afterwards that were not there before, or found elsewhere.
bool MayBringPrograms(const Step& step) {
  if (const auto* env = std::get_if<Env>(&step)) {
    return std::any_of(env->variables.begin(), env->variables.end(),
                       [](const auto& variable) { return variable.first == "PATH"; });
  }
  return !IsOneOf<From, Workdir, Entrypoint, Cmd, Shell, Label, User, Expose>(step);
}

}  // namespace

BaseNeeds NeedsOfBase(const Recipe& recipe) {
  BaseNeeds needs;
  for (size_t i = 0; i < recipe.steps.size(); ++i) {
    const Step& step = recipe.steps[i];
    if (CallsPython(step)) {
      needs.python = i;
    }
    if (CallsPip(step)) {
      needs.pip = i;
    }
    if (MayBringPrograms(step)) {
      break;
    }
  }
  return needs;
}

}  // namespace starling::dockerfile::recipe
