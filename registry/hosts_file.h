/// containerd's hosts.toml: where the images of one registry may be had. Pure.
/// Source: containerd docs/hosts.md and core/remotes/docker/config.
#pragma once

#include <chrono>
#include <filesystem>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "base/status.h"
#include "registry/http_transport.h"
#include "registry/url.h"

namespace starling::registry {

/// What a file says of one host. Paths are as they stand there.
struct HostEntry {
  std::optional<Url> api;  // none: the registry itself
  bool can_pull = true;
  bool can_resolve = true;
  bool can_push = true;
  std::vector<std::filesystem::path> ca;
  std::filesystem::path client_certificate;  // empty: none
  std::filesystem::path client_key;
  bool skip_verify = false;
  std::vector<Header> headers;
  std::optional<std::chrono::milliseconds> dial_timeout;
};

/// The hosts of a file in the order in which they are asked; the last one is its server. Errors
/// (kInvalidArgument) begin with "FILE:LINE:COLUMN:". Unknown keys are errors.
StatusOr<std::vector<HostEntry>> ParseHostsFile(std::string_view text, std::string_view file);

}  // namespace starling::registry
