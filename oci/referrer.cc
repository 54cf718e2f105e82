#include "oci/referrer.h"

#include <fmt/format.h>

#include <utility>

namespace starling::oci {

StatusOr<std::optional<Referrer>> ReferrerOf(const RawManifest& raw) {
  Referrer referrer{.entry = {.media_type = raw.media_type,
                              .digest = raw.digest,
                              .size_bytes = raw.bytes.size()}};
  std::optional<Descriptor> subject;
  ASSIGN_OR_RETURN(const std::string type, DetectMediaType(raw.bytes, raw.media_type));
  if (media_type::IsIndex(type)) {
    ASSIGN_OR_RETURN(Index index, Index::Parse(raw.bytes, type));
    subject = std::move(index.subject);
    referrer.entry.artifact_type = std::move(index.artifact_type);
    referrer.entry.annotations = std::move(index.annotations);
  } else {
    ASSIGN_OR_RETURN(Manifest manifest, Manifest::Parse(raw.bytes, type));
    subject = std::move(manifest.subject);
    referrer.entry.artifact_type = manifest.artifact_type.empty()
                                       ? std::move(manifest.config.media_type)
                                       : std::move(manifest.artifact_type);
    referrer.entry.annotations = std::move(manifest.annotations);
  }
  if (!subject) {
    return std::optional<Referrer>();
  }
  referrer.subject = subject->digest;
  return std::optional<Referrer>(std::move(referrer));
}

std::string ReferrersTagOf(const Digest& subject) {
  return fmt::format("sha256-{}", subject.Hex());
}

}  // namespace starling::oci
