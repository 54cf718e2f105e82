#pragma once

#include <optional>
#include <string_view>

#include "base/status.h"
#include "registry/credentials.h"

namespace starling::cri {

/// Whose credentials a pull brings.
struct PullAuth {
  registry::CredentialRequest whose;  // the repository of its image
  registry::Credentials credentials;
};

/// What a PullImageRequest (its bytes) says of credentials, in containerd's order: user name and
/// password, identity token, `auth`, registry token. Nothing when it brings none, or some for
/// another server than the image's. kInvalidArgument when it cannot be read; without a part of it.
/// Source: Kubernetes, cri-api runtime/v1 AuthConfig.
StatusOr<std::optional<PullAuth>> ReadPullAuth(std::string_view request);

}  // namespace starling::cri
