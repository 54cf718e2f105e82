#include "mount/layer_places.h"

#include <algorithm>
#include <utility>

namespace starling::mount {
namespace {

std::vector<std::string> NamesOf(const std::vector<oci::BlobPlace>& places) {
  std::vector<std::string> names;
  names.reserve(places.size());
  for (const oci::BlobPlace& place : places) {
    names.push_back(place.name);
  }
  return names;
}

}  // namespace

std::shared_ptr<oci::BlobReader> KeepTogether(std::shared_ptr<oci::ImageSource> source,
                                              std::shared_ptr<oci::BlobReader> reader) {
  oci::BlobReader* const raw = reader.get();
  return {raw, [source = std::move(source), reader = std::move(reader)](oci::BlobReader*) {}};
}

StatusOr<LayerPlaces::Places> LayerPlaces::Read(const std::string& image) const {
  return deps_.places ? deps_.places(image) : Places();
}

bool LayerPlaces::HasSeveral(const std::string& image) const {
  const auto places = Read(image);
  return places.ok() && !places->empty();
}

void LayerPlaces::Tell(const std::string& image, const Follower& follower,
                       const Places& places) const {
  const std::shared_ptr<layer::LazyLayer> layer = follower.layer.lock();
  if (!layer) {
    return;
  }
  // One link for all of them: which of them is used changes, and so does what it is known to move.
  std::vector<layer::BlobSources::Named> sources;
  for (const oci::BlobPlace& place : places) {
    sources.push_back({.name = place.name,
                       .open = [open = place.open, blob = follower.blob] { return open(blob); }});
  }
  if (sources.empty()) {
    sources.push_back(
        {.name = image,
         .open = [sources = deps_.sources, image,
                  blob = follower.blob]() -> StatusOr<std::shared_ptr<oci::BlobReader>> {
           ASSIGN_OR_RETURN(const std::shared_ptr<oci::ImageSource> source, sources(image));
           ASSIGN_OR_RETURN(std::shared_ptr<oci::BlobReader> reader, source->BlobAt(blob));
           return KeepTogether(source, std::move(reader));
         }});
  }
  layer->SetSources(image, follower.host, std::move(sources));
}

void LayerPlaces::Add(const std::shared_ptr<layer::LazyLayer>& layer, const LayerSpec& spec) {
  const Follower follower{.layer = layer,
                          .host = spec.host(),
                          .blob = {.media_type = std::string(oci::media_type::kOciLayerGzip),
                                   .digest = spec.layer,
                                   .size_bytes = layer->chunks().blob_size_bytes()}};
  const Places places = Read(spec.image).value_or(Places());
  {
    MutexLock lock(mutex_);
    Image& image = images_[spec.image];
    // The others hear of it at the next look.
    if (image.layers.empty()) {
      image.names = NamesOf(places);
    }
    const bool is_known = std::ranges::any_of(
        image.layers, [&layer](const Follower& known) { return known.layer.lock() == layer; });
    if (!is_known) {
      image.layers.push_back(follower);
    }
    LookLater();
  }
  Tell(spec.image, follower, places);
}

void LayerPlaces::LookLater() {
  if (!deps_.places || is_looking_ || is_closed_ || images_.empty()) {
    return;
  }
  is_looking_ = true;
  deps_.timer.RunAfter(kBetweenLooks, [weak = weak_from_this()] {
    const auto self = weak.lock();
    if (!self) {
      return;
    }
    MutexLock lock(self->mutex_);
    if (!self->is_closed_) {
      self->deps_.executor.Post([weak] {
        if (const auto looking = weak.lock()) {
          looking->Look();
        }
      });
    }
  });
}

void LayerPlaces::Look() {
  std::vector<std::string> images;
  {
    MutexLock lock(mutex_);
    is_looking_ = false;
    for (auto& [_, image] : images_) {
      std::erase_if(image.layers, [](const Follower& known) { return known.layer.expired(); });
    }
    std::erase_if(images_, [](const auto& entry) { return entry.second.layers.empty(); });
    for (const auto& [image, known] : images_) {
      images.push_back(image);
    }
    LookLater();
  }
  for (const std::string& image : images) {
    const auto places = Read(image);
    if (!places.ok()) {
      continue;
    }
    std::vector<Follower> layers;
    {
      MutexLock lock(mutex_);
      const auto known = images_.find(image);
      if (known == images_.end() || known->second.names == NamesOf(*places)) {
        continue;
      }
      known->second.names = NamesOf(*places);
      layers = known->second.layers;
    }
    for (const Follower& follower : layers) {
      Tell(image, follower, *places);
    }
  }
}

void LayerPlaces::Close() {
  MutexLock lock(mutex_);
  is_closed_ = true;
}

}  // namespace starling::mount
