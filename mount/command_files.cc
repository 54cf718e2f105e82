#include "mount/command_files.h"

#include <algorithm>
#include <utility>

#include "base/log.h"
#include "layer/command_names.h"

namespace starling::mount {
namespace {

/// What is remembered beyond this is forgotten at once: it costs two requests for each image.
constexpr size_t kMaxImages = 1000;

}  // namespace

void CommandFiles::FetchFrom(const std::shared_ptr<layer::LazyLayer>& layer,
                             const LayerSpec& spec) {
  if (!spec.manifest || layer->chunks().codec() == layer::Codec::kWhole) {
    return;
  }
  std::vector<Part> parts;
  {
    MutexLock lock(mutex_);
    if (images_.size() >= kMaxImages && !images_.contains(*spec.manifest)) {
      images_.clear();
    }
    const auto [found, is_new] = images_.try_emplace(*spec.manifest);
    Image& image = found->second;
    std::erase_if(image.layers, [](const Layer& other) { return other.layer.expired(); });
    if (std::ranges::any_of(image.layers,
                            [&](const Layer& other) { return other.layer.lock() == layer; })) {
      return;
    }
    image.layers.push_back({.layer = layer, .found = {}});
    if (is_new) {
      deps_.executor.PostUrgent([this, spec] { Learn(spec); });
      return;
    }
    if (image.files) {
      parts = FindFrom(image, image.layers.size() - 1);
    }
  }
  Fetch(parts, spec);
}

void CommandFiles::Learn(const LayerSpec& spec) {
  const auto names = NamesOf(spec);
  if (!names.ok()) {
    log::Info("an image's program is not fetched before it is read",
              {{"image", spec.image}, {"error", Describe(names.status())}});
  }
  std::vector<Part> parts;
  {
    MutexLock lock(mutex_);
    Image& image = images_[*spec.manifest];
    image.files.emplace(names.ok() ? *names : std::vector<std::string>());
    parts = FindFrom(image, 0);
  }
  Fetch(parts, spec);
}

StatusOr<std::vector<std::string>> CommandFiles::NamesOf(const LayerSpec& spec) {
  ASSIGN_OR_RETURN(const std::shared_ptr<oci::ImageSource> source, deps_.sources(spec.image));
  ASSIGN_OR_RETURN(const oci::Manifest manifest, oci::ReadManifest(*source, *spec.manifest));
  ASSIGN_OR_RETURN(const oci::ImageConfig config, oci::ReadConfig(*source, manifest.config));
  return layer::NamesInCommand(config);
}

/// Of the layers beginning with that one, and of all when a symlink in one leads further.
std::vector<CommandFiles::Part> CommandFiles::FindFrom(Image& image, size_t first_layer) {
  std::vector<Part> parts;
  for (bool leads_further = true; leads_further; first_layer = 0) {
    const size_t known_names = image.files->name_count();
    for (size_t i = first_layer; i < image.layers.size(); ++i) {
      if (const auto layer = image.layers[i].layer.lock()) {
        parts.push_back({.layer = layer, .ranges = FindIn(image, image.layers[i], layer->index())});
      }
    }
    leads_further = image.files->name_count() > known_names;
  }
  return parts;
}

/// What was not found there before, as far as the image may have it.
std::vector<layer::DataRange> CommandFiles::FindIn(Image& image, Layer& layer,
                                                   const erofs::ImageReader& index) {
  std::vector<layer::DataRange> ranges;
  for (const layer::DataRange& range : image.files->FindIn(index)) {
    const bool is_known = std::ranges::find(layer.found, range) != layer.found.end();
    if (!is_known && range.size_bytes <= image.left_bytes) {
      image.left_bytes -= range.size_bytes;
      layer.found.push_back(range);
      ranges.push_back(range);
    }
  }
  return ranges;
}

void CommandFiles::Fetch(const std::vector<Part>& parts, const LayerSpec& spec) {
  for (const Part& part : parts) {
    part.layer->StartAbsent(part.ranges, oci::FetchClass::kPrefetch,
                            deps_.scheduler.RoundTripBytes(spec.host()));
  }
}

}  // namespace starling::mount
