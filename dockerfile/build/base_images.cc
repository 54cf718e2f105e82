#include "dockerfile/build/base_images.h"

#include <algorithm>
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
  ASSIGN_OR_RETURN(std::shared_ptr<oci::ImageSource> source, open_(reference));
  ASSIGN_OR_RETURN(oci::SelectedImage selected, oci::SelectImage(*source, platform));
  std::optional<oci::Reference> in_registry;
  if (!IsInFiles(reference)) {
    ASSIGN_OR_RETURN(in_registry, oci::Reference::Parse(reference));
  }
  ASSIGN_OR_RETURN(std::shared_ptr<const Image> found,
                   Read(std::move(source), std::move(selected), std::move(in_registry)));
  MutexLock lock(mutex_);
  // Whoever has seen the image asks for its own platform.
  images_.emplace(Key(reference, found->config->platform().ToString()), found);
  return images_.emplace(key, std::move(found)).first->second;
}

StatusOr<std::shared_ptr<const BaseImages::Image>> BaseImages::Read(
    std::shared_ptr<oci::ImageSource> source, oci::SelectedImage selected,
    std::optional<oci::Reference> reference) {
  Image image{.source = std::move(source),
              .selected = std::move(selected),
              .reference = std::move(reference)};
  const std::string name = image.reference ? image.reference->ToString() : image.source->Name();
  const oci::Descriptor& config = image.selected.manifest.config;
  if (config.size_bytes > oci::kMaxConfigBytes) {
    return MakeError(StatusCode::kResourceExhausted,
                     fmt::format("{}: the configuration has {} bytes, at most {} are read", name,
                                 config.size_bytes, oci::kMaxConfigBytes));
  }
  BytesSink sink;
  RETURN_IF_ERROR(image.source->ReadBlob(config, sink));
  image.config_text = AsText(sink.bytes());
  ASSIGN_OR_RETURN(image.config, oci::ImageConfig::Parse(sink.bytes()));
  if (image.config->diff_ids().size() != image.selected.manifest.layers.size()) {
    return MakeError(
        StatusCode::kDataLoss,
        fmt::format("{}: the manifest has {} layers, the configuration {}", name,
                    image.selected.manifest.layers.size(), image.config->diff_ids().size()));
  }
  return std::make_shared<const Image>(std::move(image));
}

void BaseImages::Add(std::shared_ptr<const Image> image) {
  MutexLock lock(mutex_);
  others_.push_back(std::move(image));
}

StatusOr<std::shared_ptr<oci::ImageSource>> BaseImages::OpenOrigin(const std::string& reference) {
  MutexLock lock(mutex_);
  std::shared_ptr<oci::ImageSource>& source = origins_[reference];
  if (!source) {
    ASSIGN_OR_RETURN(source, open_(reference));
  }
  return source;
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
  const auto has_blob = [&blob](const std::shared_ptr<const Image>& image) {
    return std::ranges::find(image->selected.manifest.layers, blob, &oci::Descriptor::digest) !=
           image->selected.manifest.layers.end();
  };
  MutexLock lock(mutex_);
  for (const auto& [key, image] : images_) {
    if (has_blob(image)) {
      return image;
    }
  }
  const auto other = std::ranges::find_if(others_, has_blob);
  return other == others_.end() ? nullptr : *other;
}

Tree TreeOf(const BaseImages::Image& image) { return TreeOf(image, SIZE_MAX); }

Tree TreeOf(const BaseImages::Image& image, size_t layers) {
  Tree tree;
  std::vector<oci::Digest> diff_ids = image.config->diff_ids();
  diff_ids.resize(std::min(diff_ids.size(), layers));
  for (size_t i = 0; i < diff_ids.size(); ++i) {
    tree.layers.push_back({.blob = image.selected.manifest.layers[i],
                           .diff_id = diff_ids[i],
                           .origin = image.reference ? image.reference->ToString() : ""});
  }
  if (!diff_ids.empty()) {
    tree.snapshot = oci::ChainIds(diff_ids).back().ToString();
  }
  return tree;
}

}  // namespace starling::dockerfile::build
