#pragma once

#include <string>
#include <string_view>

#include "base/status.h"

namespace starling::oci {

/// An operating system and a processor, in the normal form of containerd (amd64, not x86_64;
/// arm64 without its default variant v8).
struct Platform {
  std::string os;
  std::string architecture;
  std::string variant;
  std::string os_version;

  /// "linux/amd64", "linux/arm64/v8", "amd64": missing parts are the machine's own.
  static StatusOr<Platform> Parse(std::string_view text);
  /// What this machine runs.
  static Platform Host();
  /// The same with aliases replaced.
  Platform Normalized() const;
  /// "linux/amd64" or "linux/arm/v7".
  std::string ToString() const;

  friend bool operator==(const Platform&, const Platform&) = default;
};

/// How well an image for `offered` runs on `wanted`: 0 is not at all, more is better.
/// arm/v7 runs v6 and v5 images, arm64 runs arm ones, amd64/v3 runs v2 and v1.
int MatchScore(const Platform& wanted, const Platform& offered);

}  // namespace starling::oci
