/// Image manifests and indexes, OCI and Docker schema 2.
#pragma once

#include <optional>
#include <string>
#include <vector>

#include "oci/descriptor.h"

namespace starling::oci {

/// More is refused. Registries commonly cap manifests at 4 MiB (OCI distribution specification).
inline constexpr uint64_t kMaxManifestBytes = 4 << 20;
inline constexpr size_t kMaxLayers = 1000;
/// Indexes of indexes are followed so deep.
inline constexpr int kMaxIndexDepth = 3;

/// What `json` is: its own "mediaType", else `media_type_hint` (a Content-Type or a descriptor's),
/// else an OCI type that follows from its members. kUnimplemented for Docker's schema 1; kDataLoss
/// when the document and the hint contradict each other, or for anything that is no manifest and no
/// index.
StatusOr<std::string> DetectMediaType(ByteSpan json, std::string_view media_type_hint);

/// An image's parts. Parsing refuses documents that could be read as an index as well.
struct Manifest {
  std::string media_type;
  Descriptor config;
  std::vector<Descriptor> layers;  // bottom first
  Annotations annotations;
  std::optional<Descriptor> subject;
  std::string artifact_type;

  /// `media_type_hint` (a Content-Type or a descriptor's) decides where the document is silent.
  static StatusOr<Manifest> Parse(ByteSpan json, std::string_view media_type_hint);
  /// Canonical for us: the same manifest always gives the same bytes.
  std::string ToJson() const;

  friend bool operator==(const Manifest&, const Manifest&) = default;
};

/// Images of one name, mostly one for each platform.
struct Index {
  std::string media_type;
  std::vector<Descriptor> manifests;
  Annotations annotations;
  std::optional<Descriptor> subject;
  std::string artifact_type;

  static StatusOr<Index> Parse(ByteSpan json, std::string_view media_type_hint);
  std::string ToJson() const;
  /// The entry that runs best on `wanted`, the first of equals. kNotFound lists what is there.
  /// Entries whose platform is unknown/unknown (attestations) never match.
  /// An entry that says no platform is taken when no other matches.
  StatusOr<Descriptor> Select(const Platform& wanted) const;
  /// Every entry that Select would consider, best first.
  std::vector<Descriptor> Candidates(const Platform& wanted) const;

  friend bool operator==(const Index&, const Index&) = default;
};

}  // namespace starling::oci
