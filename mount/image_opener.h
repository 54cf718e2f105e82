#pragma once

#include <chrono>
#include <functional>
#include <map>
#include <memory>
#include <set>
#include <string>
#include <vector>

#include "base/clock.h"
#include "base/executor.h"
#include "base/mutex.h"
#include "base/status.h"
#include "base/timer.h"
#include "mount/layer_spec.h"
#include "oci/image_store.h"
#include "store/layer_store.h"

namespace starling::mount {

/// Opens the layers of an image side by side as soon as the first of them is asked for, because
/// clients ask for one after the other and every opening waits for the registry.
///
/// The other layers are learnt from the client, if it names them (LayerSpec::lazy_layers), else
/// from the image's manifest, which is read once. Either is a hint only: a layer that is asked for
/// later is the same one when both of its digests are, and those come from its own request. A layer
/// that nobody asks for is let go some time after the image was last asked about: its pull went
/// away, or the client had it already.
///
/// Threads: safe. Owned by shared_ptr only. Nothing blocks but what runs on the executor.
class ImageOpener : public std::enable_shared_from_this<ImageOpener> {
 public:
  /// How long opened layers wait for somebody who asks: longer than the download of an ordinary
  /// layer that lies between them.
  static constexpr std::chrono::minutes kPatience{10};

  struct Dependencies {
    /// The source of an image by LayerSpec::image.
    std::function<StatusOr<std::shared_ptr<oci::ImageSource>>(const std::string& image)> sources;
    /// Opens a layer unless it is open, and keeps it for whoever asks next. May block.
    std::function<void(const LayerSpec& layer)> open;
    /// Lets go of a layer unless somebody has it. May block.
    std::function<void(const store::LayerKey& layer)> let_go;
    /// Its threads are the number of layers opened at once. Joined after Stop, while this lives.
    Executor& openers;
    Timer& timer;
    Clock& clock;
  };

  explicit ImageOpener(Dependencies dependencies) : deps_(std::move(dependencies)) {}

  /// Somebody is about to open `layer`: the layers above it will be wanted, too.
  void Ask(const LayerSpec& layer);
  /// All layers of one image, bottom first, which somebody is about to ask for.
  void OpenAll(std::vector<LayerSpec> layers);
  /// Begins nothing from now on.
  void Stop();

 private:
  enum class Manifest { kOnItsWay, kKnown, kUseless };
  struct Image {
    Manifest manifest = Manifest::kOnItsWay;
    /// Those of the manifest that can be lazy, bottom first.
    std::vector<LayerSpec> layers;
    /// Opened or about to be, and not asked for yet.
    std::set<store::LayerKey> waiting;
    /// Those asked for, until the manifest has come.
    std::vector<store::LayerKey> asked;
    size_t tasks = 0;  // on the executor
    std::chrono::steady_clock::time_point used;
  };

  StatusOr<std::vector<LayerSpec>> LayersWith(const LayerSpec& first);
  void Learn(const std::string& id, const LayerSpec& first);
  void BeginAbove(const std::string& id, const store::LayerKey& first)
      EXCLUSIVE_LOCKS_REQUIRED(mutex_);
  void Begin(const std::string& id, const LayerSpec& layer) EXCLUSIVE_LOCKS_REQUIRED(mutex_);
  void Open(const std::string& id, const LayerSpec& layer);
  void WatchOver(const std::string& id);
  void Expire(const std::string& id);
  bool IsWaiting(const store::LayerKey& layer) const EXCLUSIVE_LOCKS_REQUIRED(mutex_);

  const Dependencies deps_;
  Mutex mutex_;  // above the executor's and the timer's
  std::map<std::string, Image> images_ GUARDED_BY(mutex_);
  bool stopped_ GUARDED_BY(mutex_) = false;
};

}  // namespace starling::mount
