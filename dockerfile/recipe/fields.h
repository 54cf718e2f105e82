/// The members of each step, once for reading and for writing: `visit(NAME, MEMBER[, kRequired])`.
#pragma once

#include "dockerfile/recipe/recipe.h"

namespace starling::dockerfile::recipe {

enum class Need { kOptional, kRequired };

template <typename Visitor, typename Member>
void Required(Visitor& visit, const char* name, Member& member) {
  visit(name, member, Need::kRequired);
}

template <typename Visitor, typename Member>
void Optional(Visitor& visit, const char* name, Member& member) {
  visit(name, member, Need::kOptional);
}

// `T` is the step, const or not, as the visitor needs it.
template <typename Visitor, typename T>
void DescribeStep(Visitor& visit, T& step) {
  using S = std::remove_const_t<T>;
  if constexpr (std::is_same_v<S, From>) {
    Required(visit, "image", step.image);
    Optional(visit, "platform", step.platform);
  } else if constexpr (std::is_same_v<S, WholeDockerfile>) {
    Required(visit, "text", step.text);
    Optional(visit, "target", step.target);
    Optional(visit, "build_arguments", step.build_arguments);
    Optional(visit, "ignore", step.ignore);
  } else if constexpr (std::is_same_v<S, Run>) {
    Required(visit, "commands", step.commands);
    Optional(visit, "secrets", step.secrets);
  } else if constexpr (std::is_same_v<S, Copy>) {
    Required(visit, "source", step.source);
    Required(visit, "destination", step.destination);
    Optional(visit, "ignore", step.ignore);
  } else if constexpr (std::is_same_v<S, Env>) {
    Required(visit, "variables", step.variables);
  } else if constexpr (std::is_same_v<S, Workdir>) {
    Required(visit, "path", step.path);
  } else if constexpr (std::is_same_v<S, Entrypoint> || std::is_same_v<S, Cmd> ||
                       std::is_same_v<S, Shell>) {
    Required(visit, "command", step.command);
  } else if constexpr (std::is_same_v<S, Label>) {
    Required(visit, "labels", step.labels);
  } else if constexpr (std::is_same_v<S, User>) {
    Required(visit, "user", step.user);
  } else if constexpr (std::is_same_v<S, Expose>) {
    Required(visit, "ports", step.ports);
  } else if constexpr (std::is_same_v<S, Apt>) {
    Required(visit, "packages", step.packages);
    Optional(visit, "secrets", step.secrets);
  } else if constexpr (std::is_base_of_v<PythonPackages, S>) {
    Optional(visit, "packages", step.packages);
    Optional(visit, "requirements", step.requirements);
    Optional(visit, "find_links", step.find_links);
    Optional(visit, "index_url", step.index_url);
    Optional(visit, "extra_index_url", step.extra_index_url);
    Optional(visit, "pre", step.pre);
    Optional(visit, "extra_options", step.extra_options);
    Optional(visit, "secrets", step.secrets);
    if constexpr (std::is_same_v<S, UvPip>) {
      Optional(visit, "uv_version", step.uv_version);
    }
  } else if constexpr (std::is_same_v<S, UvSync>) {
    Required(visit, "project", step.project);
    Optional(visit, "lock", step.lock);
    Optional(visit, "groups", step.groups);
    Optional(visit, "extras", step.extras);
    Optional(visit, "frozen", step.frozen);
    Optional(visit, "extra_options", step.extra_options);
    Optional(visit, "uv_version", step.uv_version);
    Optional(visit, "secrets", step.secrets);
  } else if constexpr (std::is_same_v<S, Poetry>) {
    Required(visit, "project", step.project);
    Optional(visit, "lock", step.lock);
    Optional(visit, "with", step.with);
    Optional(visit, "without", step.without);
    Optional(visit, "only", step.only);
    Optional(visit, "poetry_version", step.poetry_version);
    Optional(visit, "old_installer", step.old_installer);
    Optional(visit, "secrets", step.secrets);
  } else if constexpr (std::is_same_v<S, Micromamba>) {
    Optional(visit, "packages", step.packages);
    Optional(visit, "spec_file", step.spec_file);
    Optional(visit, "channels", step.channels);
    Optional(visit, "micromamba_version", step.micromamba_version);
    Optional(visit, "secrets", step.secrets);
  } else if constexpr (std::is_same_v<S, AddPython>) {
    Required(visit, "version", step.version);
  } else if constexpr (std::is_same_v<S, PythonFunction>) {
    Required(visit, "script", step.script);
    Optional(visit, "secrets", step.secrets);
  } else {
    static_assert(std::is_same_v<S, DockerfileLines>);
    Required(visit, "lines", step.lines);
    Optional(visit, "context", step.context);
    Optional(visit, "secrets", step.secrets);
  }
}

}  // namespace starling::dockerfile::recipe
