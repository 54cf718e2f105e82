#pragma once

#include <optional>
#include <string>
#include <string_view>

#include "oci/digest.h"

namespace starling::oci {

/// The name of an image in a registry, as Docker normalises it:
/// "ubuntu" is docker.io/library/ubuntu:latest.
/// Source: github.com/distribution/reference, its grammar.
class Reference {
 public:
  /// Accepts a tag, a digest or both ("name:tag@digest": the digest decides); adds ":latest" when
  /// there is neither. kInvalidArgument says what is wrong with the text.
  static StatusOr<Reference> Parse(std::string_view text);

  /// The registry as written: "docker.io", "ghcr.io", "127.0.0.1:5000", "[::1]:5000".
  const std::string& domain() const { return domain_; }
  /// The host that answers for it: registry-1.docker.io for docker.io, else the domain.
  std::string Host() const;
  /// "library/ubuntu".
  const std::string& repository() const { return repository_; }
  /// Empty when only a digest was given.
  const std::string& tag() const { return tag_; }
  const std::optional<Digest>& digest() const { return digest_; }
  /// What to ask the registry for: the digest if there is one, else the tag.
  std::string Object() const;
  /// The full normal form: "docker.io/library/ubuntu:latest".
  std::string ToString() const;
  /// The same repository at `digest`, without a tag.
  Reference WithDigest(const Digest& digest) const;

  friend bool operator==(const Reference&, const Reference&) = default;

 private:
  std::string domain_;
  std::string repository_;
  std::string tag_;
  std::optional<Digest> digest_;
};

}  // namespace starling::oci
