#pragma once

#include <filesystem>
#include <string>
#include <string_view>

#include "base/status.h"

namespace starling::transport {

enum class Kind { kRegistry, kOciLayout, kOciArchive, kDockerArchive };

/// How people name images, as skopeo spells it: a bare reference or docker://REFERENCE,
/// oci:DIRECTORY[:TAG], oci-archive:FILE[:TAG], docker-archive:FILE[:REFERENCE].
/// Source: containers-transports(5).
struct ImageName {
  Kind kind = Kind::kRegistry;
  std::filesystem::path path;  // of a layout or an archive
  std::string reference;       // a registry's reference, a layout's tag; may be empty for files

  static StatusOr<ImageName> Parse(std::string_view text);
  std::string ToString() const;
};

}  // namespace starling::transport
