#include "dockerfile/build/base_images.h"

#include <utility>

namespace starling::dockerfile::build {
namespace {

/// A layout or an archive, as containers-transports(5) names them.
bool IsInFiles(std::string_view name) {
  return name.starts_with("oci:") || name.starts_with("oci-archive:") ||
         name.starts_with("docker-archive:");
}

}  // namespace

StatusOr<std::shared_ptr<const BaseImages::Image>> BaseImages::Look(const std::string& reference,
                                                                    const oci::Platform& platform) {
  const Key key(reference, platform.ToString());
  {
    MutexLock lock(mutex_);
    if (const auto found = images_.find(key); found != images_.end()) {
      return found->second;
    }
  }
  Image image;
  ASSIGN_OR_RETURN(image.source, open_(reference));
  ASSIGN_OR_RETURN(image.selected, oci::SelectImage(*image.source, platform));
  const oci::Descriptor& config = image.selected.manifest.config;
  if (config.size_bytes > oci::kMaxConfigBytes) {
    return MakeError(StatusCode::kResourceExhausted,
                     fmt::format("{}: the configuration has {} bytes, at most {} are read",
                                 reference, config.size_bytes, oci::kMaxConfigBytes));
  }
  BytesSink sink;
  RETURN_IF_ERROR(image.source->ReadBlob(config, sink));
  image.config_text = AsText(sink.bytes());
  ASSIGN_OR_RETURN(image.config, oci::ImageConfig::Parse(sink.bytes()));
  if (image.config->diff_ids().size() != image.selected.manifest.layers.size()) {
    return MakeError(
        StatusCode::kDataLoss,
        fmt::format("{}: the manifest has {} layers, the configuration {}", reference,
                    image.selected.manifest.layers.size(), image.config->diff_ids().size()));
  }
  if (!IsInFiles(reference)) {
    ASSIGN_OR_RETURN(image.reference, oci::Reference::Parse(reference));
  }
  auto found = std::make_shared<const Image>(std::move(image));
  MutexLock lock(mutex_);
  // Whoever has seen the image asks for its own platform.
  images_.emplace(Key(reference, found->config->platform().ToString()), found);
  return images_.emplace(key, std::move(found)).first->second;
}

StatusOr<plan::BaseImage> BaseImages::ResolveImage(const std::string& reference,
                                                   const oci::Platform& platform) {
  ASSIGN_OR_RETURN(const std::shared_ptr<const Image> image, Look(reference, platform));
  return plan::BaseImage{.reference = reference,
                         .platform = image->config->platform(),
                         .manifest = image->selected.raw_manifest.digest,
                         .config = image->config_text};
}

StatusOr<std::shared_ptr<const BaseImages::Image>> BaseImages::Find(const plan::ImageSource& node) {
  return Look(node.reference, node.platform);
}

std::shared_ptr<const BaseImages::Image> BaseImages::FindByBlob(const oci::Digest& blob) {
  MutexLock lock(mutex_);
  for (const auto& [key, image] : images_) {
    for (const oci::Descriptor& layer : image->selected.manifest.layers) {
      if (layer.digest == blob) {
        return image;
      }
    }
  }
  return nullptr;
}

Tree TreeOf(const BaseImages::Image& image) {
  Tree tree;
  const std::vector<oci::Digest>& diff_ids = image.config->diff_ids();
  for (size_t i = 0; i < diff_ids.size(); ++i) {
    tree.layers.push_back(
        {.blob = image.selected.manifest.layers[i], .diff_id = diff_ids[i], .is_of_base = true});
  }
  if (!diff_ids.empty()) {
    tree.snapshot = oci::ChainIds(diff_ids).back().ToString();
  }
  return tree;
}

}  // namespace starling::dockerfile::build
