#pragma once

#include <filesystem>
#include <optional>

#include "base/status.h"
#include "dockerfile/python/libc.h"
#include "oci/digest.h"

namespace starling::dockerfile::python {

/// What was seen in images, by their manifests, so that none is looked at twice. Threads: safe, of
/// other processes too.
class BaseFacts {
 public:
  explicit BaseFacts(std::filesystem::path directory) : directory_(std::move(directory)) {}

  /// Nothing for an image that was not seen, or whose record cannot be read.
  std::optional<BaseLibc> Find(const oci::Digest& manifest) const;
  Status Remember(const oci::Digest& manifest, const BaseLibc& base) const;

 private:
  const std::filesystem::path directory_;
};

}  // namespace starling::dockerfile::python
