#include "oci/toc_digest.h"

namespace starling::oci {

StatusOr<TocDigest> FindTocDigest(const Annotations& annotations) {
  constexpr struct {
    std::string_view key;
    TocDigestOf of;
  } kKeys[] = {{annotation::kTocDigest, TocDigestOf::kJson},
               {annotation::kCompressedTocDigest, TocDigestOf::kCompressed},
               {annotation::kOldCompressedTocDigest, TocDigestOf::kCompressed},
               {kCompressedTocLabel, TocDigestOf::kCompressed}};
  for (const auto& known : kKeys) {
    const auto found = annotations.find(std::string(known.key));
    // Labels, which annotations may have become, say "absent" by an empty value too.
    if (found == annotations.end() || found->second.empty()) {
      continue;
    }
    const StatusOr<Digest> digest = Digest::Parse(found->second);
    if (!digest.ok()) {
      return Annotate(digest.status(), fmt::format("annotation {}", known.key));
    }
    return TocDigest{.digest = *digest, .of = known.of};
  }
  return MakeError(StatusCode::kNotFound,
                   fmt::format("the layer has no annotation {} (nor that of zstd:chunked), so "
                               "nothing could be verified: starling convert adds it",
                               annotation::kTocDigest));
}

}  // namespace starling::oci
