#include "mount/image_opener.h"

#include <algorithm>
#include <utility>

#include "base/log.h"
#include "oci/manifest.h"
#include "oci/platform.h"
#include "oci/toc_digest.h"

namespace starling::mount {
namespace {

using store::LayerKey;

/// No container runs on more.
constexpr size_t kMaxLayersAhead = 128;

/// What the layers of one image have in common.
std::string IdOf(const LayerSpec& layer) {
  return layer.manifest ? layer.manifest->ToString() : layer.image;
}

StatusOr<oci::Manifest> ReadManifest(oci::ImageSource& source, const LayerSpec& first) {
  if (!first.manifest) {
    ASSIGN_OR_RETURN(oci::SelectedImage image, oci::SelectImage(source, oci::Platform::Host()));
    return std::move(image.manifest);
  }
  return oci::ReadManifest(source, *first.manifest);
}

/// Another layer of `first`'s image, for the same client.
LayerSpec LayerBeside(const LayerSpec& first, const oci::Digest& layer, const oci::TocDigest& toc,
                      uint64_t size_bytes) {
  return {.image = first.image,
          .layer = layer,
          .toc = toc.digest,
          .toc_of = toc.of,
          .size_bytes = size_bytes,
          .manifest = first.manifest,
          .prefetch_bytes = first.prefetch_bytes,
          .reader = first.reader};
}

/// The lazy layers of `first`'s image as its client says; none when it does not say it of all.
std::vector<LayerSpec> LayersThatAreNamed(const LayerSpec& first) {
  std::vector<LayerSpec> layers;
  layers.reserve(first.lazy_layers.size());
  for (const auto& [layer, toc] : first.lazy_layers) {
    layers.push_back(LayerBeside(first, layer, {.digest = toc}, 0));
  }
  return layers;
}

bool Names(const std::vector<LayerSpec>& layers, const oci::Digest& layer) {
  return std::ranges::find(layers, layer, &LayerSpec::layer) != layers.end();
}

}  // namespace

void ImageOpener::Ask(const LayerSpec& layer) {
  const std::string id = IdOf(layer);
  MutexLock lock(mutex_);
  if (stopped_) {
    return;
  }
  const auto known = images_.find(id);
  if (known == images_.end()) {
    if (layer.image_layers.size() < 2) {
      return;  // nothing is above it
    }
    Image& image = images_[id];
    image.used = deps_.clock.Now();
    if (image.layers = LayersThatAreNamed(layer); !image.layers.empty()) {
      image.manifest = Manifest::kKnown;
      BeginAbove(id, layer.key());
      WatchOver(id);
      return;
    }
    image.asked.push_back(layer.key());
    ++image.tasks;
    deps_.openers.PostUrgent([this, id, layer] { Learn(id, layer); });
    WatchOver(id);
    return;
  }
  Image& image = known->second;
  if (image.manifest == Manifest::kUseless) {
    return;  // not used: once it has expired, the manifest is asked for again
  }
  image.used = deps_.clock.Now();
  if (image.manifest == Manifest::kOnItsWay) {
    image.asked.push_back(layer.key());
  } else if (image.waiting.erase(layer.key()) == 0) {
    BeginAbove(id, layer.key());  // it was given away before: this is another pull
  }
}

void ImageOpener::OpenAll(std::vector<LayerSpec> layers) {
  if (layers.empty()) {
    return;
  }
  const std::string id = IdOf(layers.front());
  MutexLock lock(mutex_);
  if (stopped_) {
    return;
  }
  const bool is_new = !images_.contains(id);
  Image& image = images_[id];
  image.used = deps_.clock.Now();
  image.manifest = Manifest::kKnown;
  image.layers = std::move(layers);
  for (const LayerSpec& layer : image.layers) {
    Begin(id, layer);
  }
  if (is_new) {
    WatchOver(id);
  }
}

void ImageOpener::Stop() {
  MutexLock lock(mutex_);
  stopped_ = true;
}

/// The layers of `first`'s image that can be lazy. kFailedPrecondition for another image: a name
/// may stand for something new by now, and a client may be wrong.
StatusOr<std::vector<LayerSpec>> ImageOpener::LayersWith(const LayerSpec& first) {
  ASSIGN_OR_RETURN(const std::shared_ptr<oci::ImageSource> source, deps_.sources(first.image));
  ASSIGN_OR_RETURN(const oci::Manifest manifest, ReadManifest(*source, first));
  std::vector<LayerSpec> layers;
  for (const oci::Descriptor& descriptor : manifest.layers) {
    const StatusOr<oci::TocDigest> toc = oci::FindTocDigest(descriptor.annotations);
    if (!toc.ok() || Names(layers, descriptor.digest)) {
      continue;
    }
    layers.push_back(LayerBeside(first, descriptor.digest, *toc, descriptor.size_bytes));
  }
  const bool has_first = std::ranges::find(layers, first.key(), &LayerSpec::key) != layers.end();
  const bool has_others =
      std::ranges::all_of(first.image_layers, [&manifest](const oci::Digest& layer) {
        return std::ranges::find(manifest.layers, layer, &oci::Descriptor::digest) !=
               manifest.layers.end();
      });
  if (!has_first || !has_others) {
    return MakeError(StatusCode::kFailedPrecondition,
                     "the manifest lacks layers that the client names");
  }
  return layers;
}

void ImageOpener::Learn(const std::string& id, const LayerSpec& first) {
  {
    MutexLock lock(mutex_);
    if (stopped_) {
      return;
    }
  }
  StatusOr<std::vector<LayerSpec>> layers = LayersWith(first);
  MutexLock lock(mutex_);
  Image& image = images_[id];
  --image.tasks;
  if (stopped_) {
    return;
  }
  const std::vector<LayerKey> asked = std::exchange(image.asked, {});
  if (!layers.ok()) {
    image.manifest = Manifest::kUseless;
    log::Warning("an image's layers are opened one after the other",
                 {{"image", first.image}, {"error", Describe(layers.status())}});
    return;
  }
  image.manifest = Manifest::kKnown;
  image.layers = *std::move(layers);
  BeginAbove(id, first.key());
  for (const LayerKey& layer : asked) {
    image.waiting.erase(layer);
  }
}

void ImageOpener::BeginAbove(const std::string& id, const LayerKey& first) {
  const std::vector<LayerSpec>& layers = images_[id].layers;
  const auto found = std::ranges::find(layers, first, &LayerSpec::key);
  if (found == layers.end()) {
    return;
  }
  size_t count = 0;
  for (auto layer = found + 1; layer != layers.end() && count < kMaxLayersAhead; ++layer) {
    Begin(id, *layer);
    ++count;
  }
}

void ImageOpener::Begin(const std::string& id, const LayerSpec& layer) {
  Image& image = images_[id];
  if (image.waiting.insert(layer.key()).second) {
    ++image.tasks;
    deps_.openers.Post([this, id, layer] { Open(id, layer); });
  }
}

void ImageOpener::Open(const std::string& id, const LayerSpec& layer) {
  bool is_wanted = false;
  {
    MutexLock lock(mutex_);
    // Who has asked meanwhile opens it already.
    is_wanted = !stopped_ && images_[id].waiting.contains(layer.key());
  }
  if (is_wanted) {
    deps_.open(layer);
  }
  MutexLock lock(mutex_);
  --images_[id].tasks;
}

void ImageOpener::WatchOver(const std::string& id) {
  deps_.timer.RunAfter(kPatience, [weak = weak_from_this(), id] {
    if (const auto self = weak.lock()) {
      self->Expire(id);
    }
  });
}

void ImageOpener::Expire(const std::string& id) {
  MutexLock lock(mutex_);
  const auto image = images_.find(id);
  if (stopped_ || image == images_.end()) {
    return;
  }
  if (image->second.tasks > 0 || deps_.clock.Now() - image->second.used < kPatience) {
    WatchOver(id);
    return;
  }
  const std::set<LayerKey> left = std::move(image->second.waiting);
  images_.erase(image);
  for (const LayerKey& layer : left) {
    if (!IsWaiting(layer)) {
      deps_.openers.Post([this, layer] { deps_.let_go(layer); });
    }
  }
}

bool ImageOpener::IsWaiting(const LayerKey& layer) const {
  return std::ranges::any_of(
      images_, [&layer](const auto& image) { return image.second.waiting.contains(layer); });
}

}  // namespace starling::mount
