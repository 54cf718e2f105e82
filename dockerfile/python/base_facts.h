#pragma once

#include <filesystem>
#include <optional>

#include "base/status.h"
#include "dockerfile/python/libc.h"
#include "dockerfile/python/programs.h"
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
  /// The same of what is in the image's PATH.
  std::optional<BasePrograms> FindPrograms(const oci::Digest& manifest) const;
  Status RememberPrograms(const oci::Digest& manifest, const BasePrograms& programs) const;

 private:
  const std::filesystem::path directory_;
};

}  // namespace starling::dockerfile::python
