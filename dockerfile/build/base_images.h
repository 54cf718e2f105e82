#pragma once

#include <functional>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "base/mutex.h"
#include "base/status.h"
#include "dockerfile/build/tree.h"
#include "dockerfile/plan/plan.h"
#include "oci/image_config.h"
#include "oci/image_store.h"
#include "oci/reference.h"

namespace starling::dockerfile::build {

/// The images that a build starts from, each looked up once. Threads: safe.
class BaseImages : public plan::ImageResolver {
 public:
  /// Opens an image by its name, as toolboxes do.
  using Open = std::function<StatusOr<std::shared_ptr<oci::ImageSource>>(const std::string&)>;
  explicit BaseImages(Open open) : open_(std::move(open)) {}

  struct Image {
    std::shared_ptr<oci::ImageSource> source;
    oci::SelectedImage selected;
    std::string config_text;
    std::optional<oci::ImageConfig> config;
    /// Absent for an image that no registry has.
    std::optional<oci::Reference> reference;
  };
  StatusOr<plan::BaseImage> ResolveImage(const std::string& reference,
                                         const oci::Platform& platform) override;
  /// One that was resolved. Blocks for nothing.
  StatusOr<std::shared_ptr<const Image>> Find(const plan::ImageSource& node);
  /// The documents of an image that was selected from `source`. Blocks. kDataLoss for documents
  /// that do not fit each other.
  static StatusOr<std::shared_ptr<const Image>> Read(std::shared_ptr<oci::ImageSource> source,
                                                     oci::SelectedImage selected,
                                                     std::optional<oci::Reference> reference);
  /// Another image, whose layers may become those of what is built.
  void Add(std::shared_ptr<const Image> image);
  /// The image that a layer came from in an earlier build (Layer::origin), opened once.
  StatusOr<std::shared_ptr<oci::ImageSource>> OpenOrigin(const std::string& reference);
  /// An image that has the layer with this blob; null when none has.
  std::shared_ptr<const Image> FindByBlob(const oci::Digest& blob);

 private:
  using Key = std::pair<std::string, std::string>;  // reference, platform
  StatusOr<std::shared_ptr<const Image>> Look(const std::string& reference,
                                              const oci::Platform& platform);

  const Open open_;
  Mutex mutex_;  // leaf
  std::map<Key, std::shared_ptr<const Image>> images_ GUARDED_BY(mutex_);
  std::vector<std::shared_ptr<const Image>> others_ GUARDED_BY(mutex_);
  std::map<std::string, std::shared_ptr<oci::ImageSource>> origins_ GUARDED_BY(mutex_);
};

/// The layers of an image as a tree.
Tree TreeOf(const BaseImages::Image& image);
/// The first of them alone.
Tree TreeOf(const BaseImages::Image& image, size_t layers);

}  // namespace starling::dockerfile::build
