/// What commands that ask registries say of the limits they were told.
#pragma once

#include <cstdio>
#include <nlohmann/json.hpp>

#include "registry/client.h"

namespace starling::cli {

/// For a command's JSON: a list, empty as a rule.
inline nlohmann::ordered_json RateLimitsJson(const registry::Client& registries) {
  nlohmann::ordered_json list = nlohmann::ordered_json::array();
  for (const auto& [registry, limit] : registries.KnownRateLimits()) {
    nlohmann::ordered_json entry = {{"registry", registry}};
    if (limit.limit) {
      entry["limit"] = *limit.limit;
    }
    if (limit.remaining) {
      entry["remaining"] = *limit.remaining;
    }
    if (limit.window.count() > 0) {
      entry["windowSeconds"] = limit.window.count();
    }
    if (!limit.source.empty()) {
      entry["source"] = limit.source;
    }
    list.push_back(std::move(entry));
  }
  return list;
}

/// For people, beside the progress.
inline void PrintRateLimits(const registry::Client& registries) {
  for (const auto& [registry, limit] : registries.KnownRateLimits()) {
    std::fprintf(stderr, "%s: %s\n", registry.c_str(), limit.ToString().c_str());
  }
}

}  // namespace starling::cli
