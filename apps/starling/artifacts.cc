#include "apps/starling/artifacts.h"

#include "base/clock.h"
#include "base/timestamp.h"

namespace starling::cli {
StatusOr<oci::Platform> PlatformOf(const std::string& platform) {
  return platform.empty() ? StatusOr<oci::Platform>(oci::Platform::Host())
                          : oci::Platform::Parse(platform);
}

oci::Descriptor SubjectOf(const oci::SelectedImage& image) {
  return {.media_type = image.manifest.media_type,
          .digest = image.raw_manifest.digest,
          .size_bytes = image.raw_manifest.bytes.size()};
}

oci::Annotations CreatedNow() {
  return {{std::string(registry::kCreatedAnnotation), TimestampText(SystemClock().WallTime())}};
}

StatusOr<oci::Descriptor> AttachProfile(registry::Referrers& referrers,
                                        const oci::Descriptor& image,
                                        const layer::AccessProfile& profile) {
  return referrers.Attach(image, {.type = std::string(layer::kAccessProfileType),
                                  .parts = {{.content = ToBytes(profile.ToJson())}},
                                  .annotations = CreatedNow()});
}

}  // namespace starling::cli
