#pragma once

#include <functional>
#include <map>
#include <string>
#include <utility>

#include "dockerfile/lock/pins.h"
#include "dockerfile/plan/plan.h"

namespace starling::dockerfile::lock {

/// Images by what a lock says of their names. The digest decides: a tag that has moved since then
/// is not even asked for.
class PinnedImages : public plan::ImageResolver {
 public:
  /// What the name of an image that `next` has resolved stands for: its index or manifest.
  using TargetOf = std::function<StatusOr<oci::Digest>(const plan::BaseImage&)>;
  /// Borrows `pins` and `next`.
  PinnedImages(Pins& pins, plan::ImageResolver& next, TargetOf target_of)
      : pins_(pins), next_(next), target_of_(std::move(target_of)) {}

  StatusOr<plan::BaseImage> ResolveImage(const std::string& reference,
                                         const oci::Platform& platform) override;

 private:
  StatusOr<plan::BaseImage> ResolveOnce(const std::string& reference,
                                        const oci::Platform& platform);

  Pins& pins_;
  /// A plan is made more than once.
  std::map<std::pair<std::string, std::string>, plan::BaseImage> resolved_;
  plan::ImageResolver& next_;
  const TargetOf target_of_;
};

}  // namespace starling::dockerfile::lock
