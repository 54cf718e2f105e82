#include "registry/registry_host.h"

#include <utility>

namespace starling::registry {

std::shared_ptr<const ConnectionOptions> ConnectionFor(
    const Url& from, std::shared_ptr<const ConnectionOptions> options, const Url& to) {
  if (!options || from.host() == to.host()) {
    return options;
  }
  if (options->trusted_pem.empty()) {
    return nullptr;
  }
  return std::make_shared<const ConnectionOptions>(
      ConnectionOptions{.trusted_pem = options->trusted_pem});
}

}  // namespace starling::registry
