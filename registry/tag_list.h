#pragma once

#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "registry/repository_api.h"

namespace starling::registry {

/// More tags of a repository are refused.
inline constexpr size_t kMaxTags = 200'000;

/// All tags of the repository, as the registry orders them (by name, as a rule), from as many pages
/// as it takes. Blocks. Errors: kNotFound when there is no such repository; kDataLoss for an answer
/// that is no list of tags; kResourceExhausted beyond kMaxTags.
StatusOr<std::vector<std::string>> ListTags(const std::shared_ptr<RepositoryApi>& api,
                                            const std::function<RetryPolicy()>& retry);

}  // namespace starling::registry
