#include "apps/starling/artifacts.h"

#include <ctime>

#include "base/clock.h"

namespace starling::cli {
namespace {

std::string Rfc3339(std::chrono::system_clock::time_point time) {
  const std::time_t seconds = std::chrono::system_clock::to_time_t(time);
  std::tm parts{};
  ::gmtime_r(&seconds, &parts);
  char text[32];
  return {text, std::strftime(text, sizeof text, "%Y-%m-%dT%H:%M:%SZ", &parts)};
}

}  // namespace

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
  return {{std::string(registry::kCreatedAnnotation), Rfc3339(SystemClock().WallTime())}};
}

StatusOr<oci::Descriptor> AttachProfile(registry::Referrers& referrers,
                                        const oci::Descriptor& image,
                                        const layer::AccessProfile& profile) {
  return referrers.Attach(image, {.type = std::string(layer::kAccessProfileType),
                                  .parts = {{.content = ToBytes(profile.ToJson())}},
                                  .annotations = CreatedNow()});
}

}  // namespace starling::cli
