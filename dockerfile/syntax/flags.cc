#include "dockerfile/syntax/flags.h"

#include <algorithm>

#include "base/text.h"
#include "dockerfile/syntax/suggest.h"

namespace starling::dockerfile::syntax {

Checked<Flags> Flags::Parse(std::span<const Text> given, std::span<const FlagSpec> known) {
  Flags flags;
  for (const Text& text : given) {
    std::string_view name = std::string_view(text.value).substr(2);
    const size_t equals = name.find('=');
    const bool has_value = equals != std::string_view::npos;
    const std::string value(has_value ? name.substr(equals + 1) : "");
    name = name.substr(0, equals);
    const auto spec = std::find_if(known.begin(), known.end(), [&](const FlagSpec& candidate) {
      return candidate.name == name;
    });
    if (spec == known.end()) {
      std::vector<std::string_view> names;
      for (const FlagSpec& candidate : known) {
        names.push_back(candidate.name);
      }
      std::string suggestion = Suggest(name, names);
      return ProblemAt(text.range, fmt::format("unknown flag --{}", name),
                       suggestion.empty() ? "" : "--" + suggestion);
    }
    if (spec->kind != FlagKind::kList && flags.Find(name)) {
      return ProblemAt(text.range, fmt::format("the flag --{} stands here a second time", name));
    }
    if (spec->kind == FlagKind::kSwitch) {
      const std::string lower = has_value ? LowerCase(value) : "true";
      if (lower != "true" && lower != "false") {
        return ProblemAt(text.range, fmt::format("--{} is true or false, not '{}'", name, value));
      }
      flags.flags_.push_back({spec->name, {lower, text.range}});
      continue;
    }
    if (value.empty()) {
      return ProblemAt(text.range, fmt::format("--{} needs a value: --{}=VALUE", name, name));
    }
    flags.flags_.push_back({spec->name, {value, text.range}});
  }
  return flags;
}

std::optional<Text> Flags::Find(std::string_view name) const {
  for (const Flag& flag : flags_) {
    if (flag.name == name) {
      return flag.value;
    }
  }
  return std::nullopt;
}

std::vector<Text> Flags::All(std::string_view name) const {
  std::vector<Text> values;
  for (const Flag& flag : flags_) {
    if (flag.name == name) {
      values.push_back(flag.value);
    }
  }
  return values;
}

std::optional<bool> Flags::FindSwitch(std::string_view name) const {
  const std::optional<Text> value = Find(name);
  return value ? std::optional(value->value == "true") : std::nullopt;
}

}  // namespace starling::dockerfile::syntax
