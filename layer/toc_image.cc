#include "layer/toc_image.h"

#include "base/io.h"
#include "oci/platform.h"

namespace starling::layer {
namespace {

// Source: stargz-snapshotter, nativeconverter/estargz/externaltoc, getTOCReference.
constexpr std::string_view kTagSuffix = "-esgztoc";
constexpr std::string_view kDefaultTag = ":latest";

}  // namespace

StatusOr<std::string> TocImage::NameFor(const std::string& image) {
  if (image.find('@') != std::string::npos) {
    return MakeError(StatusCode::kFailedPrecondition,
                     fmt::format("{} is named by digest, and its TOCs are kept in an image that is "
                                 "named after its tag",
                                 image));
  }
  const size_t slash = image.rfind('/');
  const bool has_tag = image.find(':', slash == std::string::npos ? 0 : slash) != std::string::npos;
  return fmt::format("{}{}{}", image, has_tag ? "" : kDefaultTag, kTagSuffix);
}

StatusOr<std::shared_ptr<const TocImage::Opened>> TocImage::OpenOnce() {
  {
    MutexLock lock(mutex_);
    if (opened_ != nullptr) {
      return opened_;
    }
  }
  // Outside of the lock, since it blocks; two at once cost a request more.
  ASSIGN_OR_RETURN(std::shared_ptr<oci::ImageSource> source, open_());
  ASSIGN_OR_RETURN(oci::SelectedImage image, oci::SelectImage(*source, oci::Platform::Host()));
  auto opened = std::make_shared<const Opened>(
      Opened{.source = std::move(source), .manifest = std::move(image.manifest)});
  MutexLock lock(mutex_);
  opened_ = opened;
  return opened;
}

StatusOr<Bytes> TocImage::Read(const oci::Digest& layer, const estargz::TocLimits& limits) {
  const StatusOr<std::shared_ptr<const Opened>> image = OpenOnce();
  if (!image.ok()) {
    return Annotate(image.status(), "the image with the layer's TOC");
  }
  const std::string wanted = layer.ToString();
  for (const oci::Descriptor& toc : (*image)->manifest.layers) {
    const auto names = toc.annotations.find(std::string(oci::annotation::kTocLayerDigest));
    if (names == toc.annotations.end() || names->second != wanted) {
      continue;
    }
    if (toc.size_bytes > limits.compressed_bytes) {
      return MakeError(StatusCode::kResourceExhausted,
                       fmt::format("a TOC of {} compressed bytes, more than the limit of {}",
                                   toc.size_bytes, limits.compressed_bytes));
    }
    BytesSink sink;
    RETURN_IF_ERROR(Annotate((*image)->source->ReadBlob(toc, sink), "the layer's TOC"));
    return std::move(sink.bytes());
  }
  return MakeError(StatusCode::kNotFound,
                   fmt::format("{} has no TOC for the layer", (*image)->source->Name()));
}

}  // namespace starling::layer
