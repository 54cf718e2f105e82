#pragma once

#include <cstdint>
#include <functional>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "base/executor.h"
#include "base/mutex.h"
#include "base/status.h"
#include "layer/fetch_scheduler.h"
#include "layer/lazy_layer.h"
#include "layer/named_files.h"
#include "mount/layer_spec.h"
#include "oci/image_store.h"

namespace starling::mount {

/// Fetches the files that an image's command names while its layers are opened: the first thing
/// that a container reads is its program. The command is in the image's configuration, which is
/// read once an image and process, beside the opening of the layers; nobody waits for it.
///
/// A container may be started with another command, so no more than kMaxBytes of an image come by
/// this. Threads: safe. Nothing blocks but what runs on the executor.
class CommandFiles {
 public:
  static constexpr uint64_t kMaxBytes = 16 << 20;  // unpacked

  struct Dependencies {
    /// The source of an image by LayerSpec::image.
    std::function<StatusOr<std::shared_ptr<oci::ImageSource>>(const std::string& image)> sources;
    layer::FetchScheduler& scheduler;
    /// Joined before this goes.
    Executor& executor;
  };
  explicit CommandFiles(Dependencies dependencies) : deps_(std::move(dependencies)) {}

  /// `layer`, which is of the image that `spec` names, is open. Does nothing when the client has
  /// not said which image it is, or when all of the layer was fetched as a whole.
  void FetchFrom(const std::shared_ptr<layer::LazyLayer>& layer, const LayerSpec& spec);

 private:
  struct Layer {
    std::weak_ptr<layer::LazyLayer> layer;
    std::vector<layer::DataRange> found;
  };
  struct Image {
    std::optional<layer::NamedFiles> files;  // once the configuration has come
    std::vector<Layer> layers;
    uint64_t left_bytes = kMaxBytes;
  };
  struct Part {
    std::shared_ptr<layer::LazyLayer> layer;
    std::vector<layer::DataRange> ranges;
  };

  void Learn(const LayerSpec& spec);
  StatusOr<std::vector<std::string>> NamesOf(const LayerSpec& spec);
  static std::vector<Part> FindFrom(Image& image, size_t first_layer);
  static std::vector<layer::DataRange> FindIn(Image& image, Layer& layer,
                                              const erofs::ImageReader& index);
  void Fetch(const std::vector<Part>& parts, const LayerSpec& spec);

  const Dependencies deps_;
  Mutex mutex_;                                             // above the executor's
  std::map<oci::Digest, Image> images_ GUARDED_BY(mutex_);  // by manifest
};

}  // namespace starling::mount
