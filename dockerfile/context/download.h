#pragma once

#include <cstdint>
#include <filesystem>
#include <optional>
#include <stop_token>
#include <string>

#include "base/status.h"
#include "oci/digest.h"

namespace starling::dockerfile::context {

struct DownloadOptions {
  /// kDataLoss when the content has another one.
  std::optional<oci::Digest> checksum;
  uint64_t max_bytes = uint64_t{1} << 40;
  /// How often a broken transfer goes on where it stopped.
  int tries = 5;
};

/// Fetches an http or https URL into the new file `path`, mode 0600; its time is Last-Modified, or
/// 1970 where the server says none. Follows ten redirects at most, from https to nothing else. A
/// transfer that breaks goes on where it stopped, if the server promises that the content is the
/// same. Returns its digest. After an error there is no file. Errors name the URL without its
/// query: kNotFound, kPermissionDenied, kUnavailable; kResourceExhausted past the limit. kCancelled
/// after a stop.
StatusOr<oci::Digest> Download(const std::string& url, const std::filesystem::path& path,
                               const DownloadOptions& options, const std::stop_token& stop);

}  // namespace starling::dockerfile::context
