#pragma once

#include <chrono>
#include <functional>
#include <map>
#include <memory>
#include <string>
#include <vector>

#include "base/executor.h"
#include "base/mutex.h"
#include "base/timer.h"
#include "layer/lazy_layer.h"
#include "mount/layer_spec.h"
#include "oci/image_store.h"

namespace starling::mount {

/// Where the blobs of open layers may be read from: as the mirrors of their registries are
/// configured now, not as they were when a layer was opened.
/// Threads: safe.
class LayerPlaces : public std::enable_shared_from_this<LayerPlaces> {
 public:
  /// How often the configuration is looked at while layers are open.
  static constexpr std::chrono::seconds kBetweenLooks{3};

  struct Dependencies {
    /// The places of an image's blobs, best first; none: its source is the only one. Null: so it is
    /// for every image.
    std::function<StatusOr<std::vector<oci::BlobPlace>>(const std::string& image)> places;
    std::function<StatusOr<std::shared_ptr<oci::ImageSource>>(const std::string& image)> sources;
    Executor& executor;  // reads the configuration's files
    Timer& timer;
  };
  static std::shared_ptr<LayerPlaces> Make(Dependencies dependencies) {
    return std::shared_ptr<LayerPlaces>(new LayerPlaces(std::move(dependencies)));
  }

  /// Whether the image's source is one of several places, or none of them.
  bool HasSeveral(const std::string& image) const;
  /// Tells the layer where it is of `spec.image`, now and whenever that changes, as long as
  /// somebody else holds it. What cannot be understood of the configuration changes nothing.
  void Add(const std::shared_ptr<layer::LazyLayer>& layer, const LayerSpec& spec);
  /// Looks at the configuration, and tells the layers of the images whose places have changed.
  void Look();
  /// Uses the executor no more.
  void Close();

 private:
  struct Follower {
    std::weak_ptr<layer::LazyLayer> layer;
    std::string host;
    oci::Descriptor blob;
  };
  struct Image {
    std::vector<std::string> names;  // of its places, as its layers know them
    std::vector<Follower> layers;
  };
  using Places = std::vector<oci::BlobPlace>;

  explicit LayerPlaces(Dependencies dependencies) : deps_(std::move(dependencies)) {}
  StatusOr<Places> Read(const std::string& image) const;
  void Tell(const std::string& image, const Follower& follower, const Places& places) const;
  void LookLater() EXCLUSIVE_LOCKS_REQUIRED(mutex_);

  const Dependencies deps_;
  Mutex mutex_;  // above the timer's and the executor's
  std::map<std::string, Image> images_ GUARDED_BY(mutex_);
  bool is_looking_ GUARDED_BY(mutex_) = false;  // a look is to come
  bool is_closed_ GUARDED_BY(mutex_) = false;
};

/// A reader that keeps its source alive.
std::shared_ptr<oci::BlobReader> KeepTogether(std::shared_ptr<oci::ImageSource> source,
                                              std::shared_ptr<oci::BlobReader> reader);

}  // namespace starling::mount
