/// Chains of layers as one directory each, where an overlay would have one for each layer.
#pragma once

#include <cstdint>
#include <filesystem>
#include <functional>
#include <map>
#include <memory>
#include <optional>
#include <span>
#include <vector>

#include "base/file_system.h"
#include "base/mutex.h"
#include "base/status.h"
#include "mount/erofs_plane.h"
#include "store/layer_store.h"

namespace starling::mount {

struct ChainLayer {
  uint64_t number = 0;
  std::shared_ptr<store::StoredLayer> stored;
  std::filesystem::path data_over_fuse;  // the layer's data, served by us
  bool may_use_stored = true;            // once it is complete
};

/// Merged chains: one EROFS mount of an image made from the layers' indexes, with each layer's data
/// as a device. Over FUSE while a layer is incomplete, else on the stored files alone.
///
/// A chain is known by its topmost layer, is mounted when it is first asked for, shared by all who
/// ask, and goes with any of its layers. Next to a chain's image stands the list of its layers, for
/// a successor; otherwise each process makes its images anew: that takes milliseconds. Threads:
/// safe. Calls block for the disk and for our FUSE threads, never for the
/// network.
class ChainMounts {
 public:
  /// Shows chains at `directory`/NUMBER, next to their images. Takes away what a killed process
  /// left there; nobody else uses the directory. `files` outlives the object.
  static StatusOr<std::unique_ptr<ChainMounts>> Start(std::filesystem::path directory,
                                                      FileSystem& files);
  /// The same, but keeps the chains that a process which has died shows there, until it is known
  /// which of them can go on: AdoptChains.
  static StatusOr<std::unique_ptr<ChainMounts>> Adopt(std::filesystem::path directory,
                                                      FileSystem& files);
  /// Hides everything.
  ~ChainMounts();
  /// Leaves everything as it is, for a successor to adopt. Comes last.
  void Leave();

  /// Goes on with the chains that are mounted, if `layers_of` knows all layers of a list, bottom
  /// first; hides the others. Comes once, before other calls, when the layers are answered for.
  void AdoptChains(const std::function<std::optional<std::vector<ChainLayer>>(
                       std::span<const uint64_t> numbers)>& layers_of);

  /// The root directory of `layers`, bottom first, at least one. Nothing when they cannot be one
  /// mount: the reason is logged once, and the answer stays the same until one of them is hidden.
  std::optional<std::filesystem::path> Show(std::span<const ChainLayer> layers);
  /// Layer `number` has become complete: goes over to the stored files in those of its chains in
  /// which all are. Who uses a mount over FUSE keeps it.
  void UseStored(uint64_t number);
  /// Before the layer goes, or its data. Who uses a mount keeps it.
  void HideThoseWith(uint64_t number);
  /// Chains that are mounted.
  size_t count() const { return plane_->Numbers().size(); }

 private:
  struct Chain {
    std::vector<ChainLayer> layers;
    std::optional<std::filesystem::path> path;  // none: refused
  };

  ChainMounts(std::filesystem::path directory, FileSystem& files, std::unique_ptr<ErofsPlane> plane)
      : directory_(std::move(directory)), files_(files), plane_(std::move(plane)) {}
  StatusOr<std::filesystem::path> Mount(std::span<const ChainLayer> layers);
  std::filesystem::path ImagePath(uint64_t top) const;
  std::filesystem::path ListPath(uint64_t top) const;
  StatusOr<std::vector<uint64_t>> ReadList(uint64_t top) const;
  Status WriteWhole(const std::filesystem::path& path, ByteSpan bytes);
  void RemoveFiles(uint64_t top);

  const std::filesystem::path directory_;
  FileSystem& files_;
  const std::unique_ptr<ErofsPlane> plane_;
  // Held over merging and mount calls: only others of them wait for it. Above the plane's.
  Mutex mutex_;
  std::map<uint64_t, Chain> chains_ GUARDED_BY(mutex_);  // by the topmost layer's number
};

}  // namespace starling::mount
