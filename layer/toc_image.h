#pragma once

#include <functional>
#include <memory>
#include <optional>
#include <string>

#include "base/mutex.h"
#include "estargz/toc.h"
#include "oci/image_store.h"

namespace starling::layer {

/// The image that keeps the TOCs of another image's layers, by the convention of
/// stargz-snapshotter: its own layers, one for each TOC, name the layers that they are for.
/// Threads: safe.
class TocImage {
 public:
  using Open = std::function<StatusOr<std::shared_ptr<oci::ImageSource>>()>;
  /// `open` is called when a TOC is first asked for.
  explicit TocImage(Open open) : open_(std::move(open)) {}

  /// The name of the image with the TOCs of `image`. kFailedPrecondition for an image named by its
  /// digest: the convention needs a tag.
  static StatusOr<std::string> NameFor(const std::string& image);

  /// The TOC of `layer` as it is stored, of the size and digest that the image says; nothing
  /// vouches for the image. Blocks for the image's manifest, the first time, and the TOC.
  /// Errors: kNotFound when the image has none for the layer; kResourceExhausted beyond the limits;
  /// else the source's.
  StatusOr<Bytes> Read(const oci::Digest& layer, const estargz::TocLimits& limits);

 private:
  struct Opened {
    std::shared_ptr<oci::ImageSource> source;
    oci::Manifest manifest;
  };
  StatusOr<std::shared_ptr<const Opened>> OpenOnce();

  const Open open_;
  Mutex mutex_;  // leaf
  std::shared_ptr<const Opened> opened_ GUARDED_BY(mutex_);
};

}  // namespace starling::layer
