/// A whole image as one read-only directory, without containerd.
#pragma once

#include <filesystem>
#include <functional>
#include <memory>
#include <string>

#include "mount/layer_host.h"
#include "oci/platform.h"

namespace starling::mount {

/// An image shown at a directory until the object ends. Threads: one at a time.
class ImageMount {
 public:
  struct Options {
    std::filesystem::path root;       // for the image's data; private to this mount while it lasts
    std::filesystem::path directory;  // where the image appears
    oci::Platform platform;
    FetchPolicy fetch;
    std::filesystem::path profiles;  // as LayerHost's
    /// As LayerHost's: layers without a table of contents that have a description here are shown by
    /// it, others are fetched as a whole.
    std::filesystem::path gzip_indexes;
    DataPlane data_plane = DataPlane::kAuto;
    /// Notes what is read, when there is one; then plain layers are refused.
    std::shared_ptr<layer::AccessRecorder> recorder = nullptr;
    /// Opens another image by name, for layers whose TOCs are kept apart.
    std::function<StatusOr<std::shared_ptr<oci::ImageSource>>(const std::string& image)> open_image;
    /// As LayerHost's.
    std::function<StatusOr<std::vector<oci::BlobPlace>>(const std::string& image)> blob_places;
  };
  /// Opens every layer (at most two requests for a lazy one; plain ones are fetched as a whole) and
  /// mounts their overlay. Errors say which layer cannot be shown and why; then nothing stays
  /// mounted.
  static StatusOr<std::unique_ptr<ImageMount>> Start(Options options,
                                                     std::shared_ptr<oci::ImageSource> source,
                                                     FileSystem& files);
  /// Unmounts the overlay (lazily when it is in use), then the layers.
  ~ImageMount();

  const oci::SelectedImage& image() const { return image_; }
  /// What is held of the image. Lives as long as the mount.
  layer::Cache& cache() { return layers_->cache(); }
  layer::StatusSource& status() { return layers_->status(); }

 private:
  ImageMount(oci::SelectedImage image, std::filesystem::path directory,
             std::unique_ptr<LayerHost> layers)
      : image_(std::move(image)), directory_(std::move(directory)), layers_(std::move(layers)) {}

  const oci::SelectedImage image_;
  std::filesystem::path directory_;
  std::unique_ptr<LayerHost> layers_;
};

}  // namespace starling::mount
