#include "dockerfile/syntax/variables.h"

#include <algorithm>

#include "base/text.h"

namespace starling::dockerfile::syntax {
namespace {

Checked<std::string> ExpandText(const Scope& scope, const Text& text, char escape) {
  return CheckedAt(text.range, ExpandIn(scope, text.value, escape));
}

std::optional<Problem> CheckSize(const Scope& scope, Range where) {
  if (scope.size_bytes() > kMaxScopeBytes) {
    return ProblemAt(where, fmt::format("the variables take more than {} bytes", kMaxScopeBytes));
  }
  if (scope.set_bytes() > kMaxScopeBytesSet) {
    return ProblemAt(where, fmt::format("the values of variables, one after the other, take more "
                                        "than {} bytes",
                                        kMaxScopeBytesSet));
  }
  return std::nullopt;
}

}  // namespace

std::optional<std::string> Scope::Find(std::string_view name) const {
  const auto found = values_.find(name);
  return found == values_.end() ? std::nullopt : found->second;
}

std::vector<std::string_view> Scope::Names() const {
  std::vector<std::string_view> names;
  names.reserve(values_.size());
  for (const auto& [name, value] : values_) {
    names.push_back(name);
  }
  return names;
}

void Scope::Set(const std::string& name, const std::optional<std::string>& value) {
  const auto [entry, added] = values_.try_emplace(name);
  if (added) {
    size_bytes_ += name.size();
  }
  if (value) {
    set_bytes_ += value->size();
    size_bytes_ += value->size();
    size_bytes_ -= entry->second ? entry->second->size() : 0;
    entry->second = value;
  }
}

void Scope::Put(std::vector<Variable>& variables, const std::string& name,
                const std::string& value) {
  const auto found = std::find_if(variables.begin(), variables.end(),
                                  [&](const Variable& known) { return known.name == name; });
  if (found == variables.end()) {
    variables.push_back({name, value});
  } else {
    found->value = value;
  }
}

void Scope::SetEnv(const std::string& name, const std::string& value) {
  Set(name, value);
  Put(environment_, name, value);
}

void Scope::SetArg(const std::string& name, const std::optional<std::string>& value) {
  Set(name, value);
  if (value) {
    Put(arguments_, name, *value);
  }
}

bool IsProxyArgument(std::string_view name) {
  constexpr std::string_view kNames[] = {"http_proxy", "https_proxy", "ftp_proxy", "no_proxy",
                                         "all_proxy"};
  return std::ranges::find(kNames, LowerCase(name)) != std::end(kNames);
}

StatusOr<std::string> ExpandIn(const Scope& scope, std::string_view text, char escape) {
  ASSIGN_OR_RETURN(
      Expansion expansion,
      Expand(text, [&](std::string_view name) { return scope.Find(name); }, {.escape = escape}));
  return std::move(expansion.text);
}

Checked<Scope> GlobalScope(const Dockerfile& dockerfile, const BuildSettings& settings) {
  Scope scope;
  const auto predefine = [&](const std::string& name, const std::string& value) {
    const auto given = settings.arguments.find(name);
    scope.SetArg(name, given == settings.arguments.end() ? value : given->second);
  };
  for (const auto& [prefix, platform] : {std::pair("BUILD", &settings.build_platform),
                                         std::pair("TARGET", &settings.target_platform)}) {
    const std::string name(prefix);
    predefine(name + "PLATFORM", platform->ToString());
    predefine(name + "OS", platform->os);
    predefine(name + "OSVERSION", platform->os_version);
    predefine(name + "ARCH", platform->architecture);
    predefine(name + "VARIANT", platform->variant);
  }
  std::string target = settings.target;
  if (target.empty() && !dockerfile.stages.empty() && dockerfile.stages.back().from().name) {
    target = dockerfile.stages.back().from().name->value;
  }
  predefine("TARGETSTAGE", target.empty() ? "default" : target);
  for (const Instruction& instruction : dockerfile.global_arguments) {
    if (auto problem = ApplyArg(std::get<Arg>(instruction.value), settings, nullptr,
                                dockerfile.escape, scope)) {
      return *std::move(problem);
    }
  }
  return scope;
}

std::optional<Problem> ApplyArg(const Arg& arg, const BuildSettings& settings, const Scope* globals,
                                char escape, Scope& scope) {
  std::vector<std::pair<std::string, std::optional<std::string>>> declared;
  for (const Arg::Entry& entry : arg.entries) {
    const auto name = ExpandText(scope, entry.name, escape);
    if (!name.ok()) {
      return name.status();
    }
    std::optional<std::string> value;
    if (const auto given = settings.arguments.find(*name); given != settings.arguments.end()) {
      value = given->second;
    } else if (entry.default_value) {
      auto expanded = ExpandText(scope, *entry.default_value, escape);
      if (!expanded.ok()) {
        return expanded.status();
      }
      value = *std::move(expanded);
    } else if (globals != nullptr) {
      value = globals->Find(*name);
    }
    if (globals == nullptr) {
      // In front of FROM each entry sees those before it.
      scope.SetArg(*name, value);
    } else {
      declared.emplace_back(*name, std::move(value));
    }
    if (auto problem = CheckSize(scope, entry.name.range)) {
      return problem;
    }
  }
  for (const auto& [name, value] : declared) {
    scope.SetArg(name, value);
  }
  return CheckSize(scope, arg.entries.front().name.range);
}

std::optional<Problem> ApplyEnv(const Env& env, char escape, Scope& scope) {
  std::vector<Variable> set;
  for (const KeyValue& entry : env.entries) {
    auto name = ExpandText(scope, entry.key, escape);
    if (!name.ok()) {
      return name.status();
    }
    auto value = ExpandText(scope, entry.value, escape);
    if (!value.ok()) {
      return value.status();
    }
    set.push_back({*std::move(name), *std::move(value)});
  }
  for (const Variable& variable : set) {
    scope.SetEnv(variable.name, variable.value);
  }
  return CheckSize(scope, env.entries.front().key.range);
}

}  // namespace starling::dockerfile::syntax
