/// Shows lazy layers as directories: the store, the layers' engine and the FUSE sessions together.
#pragma once

#include <array>
#include <atomic>
#include <chrono>
#include <filesystem>
#include <functional>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "base/duration_histogram.h"
#include "base/executor.h"
#include "base/file_system.h"
#include "base/status.h"
#include "base/unique_fd.h"
#include "fuse/session.h"
#include "layer/counters.h"
#include "layer/fetch_scheduler.h"
#include "mount/diff_id_checks.h"
#include "mount/erofs_probe.h"
#include "mount/fetch_policy.h"
#include "mount/layer_spec.h"
#include "oci/image_store.h"
#include "store/layer_store.h"

namespace starling::estargz {
class GzipLayerIndex;
}
namespace starling::layer {
class AccessRecorder;
class Cache;
class StatusSource;
}  // namespace starling::layer

namespace starling::mount {

/// Where a host mounts, below its root: FUSE for layers without xattrs, and for those that have
/// some; EROFS for each layer, and for each merged chain of layers. Short, because every layer's
/// path stands in the options of overlay mounts.
inline constexpr std::string_view kPlainLayers = "l";
inline constexpr std::string_view kLayersWithXattrs = "x";
inline constexpr std::string_view kErofsLayers = "e";
inline constexpr std::string_view kMergedChains = "m";

/// Takes away what a host that was killed left mounted below its root.
void DetachLeftMounts(const std::filesystem::path& root);

/// How layers are shown.
enum class DataPlane {
  kAuto,   // kErofs where the kernel can, else kTree
  kTree,   // every file is a FUSE file
  kErofs,  // the kernel reads the index; FUSE serves the data, until the layer is complete
};

struct PlaneChoice {
  DataPlane plane = DataPlane::kTree;  // or kErofs
  std::string reason;
};

/// gRPC's.
inline constexpr size_t kStatusCodes = 17;

struct MountedLayer {
  uint64_t number = 0;
  std::filesystem::path path;  // the layer's root directory
  uint64_t data_bytes = 0;     // of its files, whether held or not
  uint64_t inodes = 0;
  bool is_whole = false;  // all of it was fetched, because it cannot be lazy
};

/// Bytes and requests since the start.
struct HostCounters {
  uint64_t blob_requests = 0;
  uint64_t blob_bytes = 0;
};

/// What Mount came to since the start: how long it took, by what became of it.
struct MountCounters {
  DurationHistogram lazy;
  DurationHistogram whole;  // fetched as a whole, or as a whole in the store
  DurationHistogram failed;
  /// By StatusCode.
  std::array<std::atomic<uint64_t>, kStatusCodes> failures{};
};

/// What a host has at one moment.
struct HostState {
  uint64_t shown_layers = 0;
  uint64_t waiting_layers = 0;  // opened ahead, and not shown yet
  uint64_t complete_layers = 0;
  uint64_t images = 0;          // that layers were mounted for
  uint64_t held_bytes = 0;      // of files' content, in open layers
  uint64_t total_bytes = 0;     // of the same, when all of it is held
  uint64_t disk_bytes = 0;      // that the store takes
  uint64_t max_disk_bytes = 0;  // 0: what the disk has
  /// By number in kScheduledPurposes.
  std::array<layer::FetchScheduler::InFlight, layer::kScheduledPurposes.size()> in_flight;
  // Layers and chains that are shown, by what shows them.
  uint64_t trees = 0;
  uint64_t erofs_over_fuse = 0;
  uint64_t erofs_stored = 0;
  uint64_t merged_chains = 0;
};

/// What a successor needs to go on with the mounts of a host whose process has died or has released
/// them. The kernel keeps the mounts as long as somebody has the devices.
struct Handover {
  UniqueFd store_lock;
  fuse::Session::Device plain;
  fuse::Session::Device with_xattrs;
  /// How layers are shown stays the same: kTree or kErofs.
  DataPlane plane = DataPlane::kTree;
  bool can_replace = false;  // an EROFS mount over FUSE by one of the stored files
};

/// Threads: safe.
class LayerHost {
 public:
  struct Options {
    /// Holds store/ and the mount points.
    std::filesystem::path root;
    /// The node's access profiles; empty: `root`/profiles.
    std::filesystem::path profiles;
    /// The descriptions of plain gzip layers that the node trusts; empty: `root`/gzip-indexes.
    std::filesystem::path gzip_indexes;
    size_t fuse_threads = 2;
    size_t decode_threads = 2;
    /// The most that the store may take of the disk; 0: what it has. With a cap layers stay on FUSE
    /// when they are complete, because what the kernel reads without us cannot be evicted.
    uint64_t max_store_bytes = 0;
    /// What a loss of power may cost: what was fetched in this time, or so many bytes.
    std::chrono::milliseconds checkpoint_interval = std::chrono::seconds(10);
    uint64_t checkpoint_bytes = 256 << 20;
    FetchPolicy fetch;
    std::filesystem::path fuse_device = "/dev/fuse";
    DataPlane data_plane = DataPlane::kAuto;
    /// For how long the mount of a layer whose path was given out is not replaced: overlayfs
    /// refuses a lower directory that is detached while it is being mounted.
    std::chrono::milliseconds mount_grace = std::chrono::seconds(10);
    /// Chains of fewer layers are not merged; measured in docs/decisions/0018-merged-chains.md.
    size_t merge_from_layers = 10;
  };
  struct Dependencies {
    /// The source of an image by LayerSpec::image, or by the name of the image that keeps its TOCs.
    /// May run on a decoding thread when bytes are
    /// missing, so it must not wait for the network.
    std::function<StatusOr<std::shared_ptr<oci::ImageSource>>(const std::string& image)> sources;
    /// The places that the blobs of an image may be read from now, best first; null or none: its
    /// source. Asked again while layers are open. Must not wait for the network.
    std::function<StatusOr<std::vector<oci::BlobPlace>>(const std::string& image)> blob_places =
        nullptr;
    /// Where the credentials for an image came from, by its name, if they were asked for; null:
    /// unknown.
    std::function<std::optional<std::string>(const std::string& image)> credentials_of = nullptr;
    FileSystem& files;
    ErofsProbe probe = ProbeErofs;
    /// What is attached to a plain layer's image, if whoever may attach something there is trusted
    /// with what its layers hold (IndexFinder). Null: nobody is.
    std::function<StatusOr<std::vector<estargz::GzipLayerIndex>>(const LayerSpec& layer)>
        find_gzip_indexes = nullptr;
    /// Notes what is read of every layer, when there is one.
    std::shared_ptr<layer::AccessRecorder> recorder = nullptr;
  };
  /// Mounts the FUSE sessions. kFailedPrecondition says what is missing (root, /dev/fuse, EROFS
  /// over FUSE where it is demanded).
  static StatusOr<std::unique_ptr<LayerHost>> Start(Options options, Dependencies dependencies);
  /// Goes on with the mounts that another host left, whose options were the same; with mounts of
  /// its own when those are gone. Nothing is answered until Serve: before it, Restore what is
  /// shown.
  static StatusOr<std::unique_ptr<LayerHost>> Adopt(Options options, Dependencies dependencies,
                                                    Handover handover);
  /// Every layer that is shown is restored: answers, first what was asked meanwhile. Does nothing
  /// for a host that was not adopted.
  Status Serve();
  /// For whoever keeps it while this process may die.
  StatusOr<Handover> CopyHandover() const;
  /// From now on a read that fails is not answered, but left to whoever adopts the mounts: before
  /// the network is stopped, and then Release.
  void LeaveFailures();
  /// Ends serving and leaves all mounts to whoever adopts them; what the kernel asks waits for
  /// that. Comes last, when no other call is on its way: then only the destructor.
  Status Release();
  /// Unmounts everything, unless released or adopted and not served, and joins its threads.
  ~LayerHost();

  /// Shows the layer under `number` (never used before, 1 to 2^23 - 1). Blocks for the network when
  /// the layer is not stored yet: two requests at most for a lazy layer, all of the blob for a
  /// plain one. One layer may be shown under several numbers: its data and its fetches are shared.
  /// The lazy layers above it in its image, when the client names some, are opened meanwhile
  /// (ImageOpener). kDataLoss, kUnavailable, kNotFound (not eStargz): the caller falls back to an
  /// ordinary layer.
  StatusOr<MountedLayer> Mount(uint64_t number, const LayerSpec& layer);
  /// Begins to open the lazy layers of one image, bottom first, and returns: who mounts them one
  /// after the other then waits for all of them together.
  void OpenAhead(std::vector<LayerSpec> layers);
  /// Begins to fetch plain layers that will be mounted soon, in this order, and returns at once.
  /// Those that are stored, or turn out to be lazy, are left alone. What is not mounted within some
  /// minutes leaves nothing.
  void BeginAhead(std::span<const LayerSpec> layers);
  /// As Mount, from disk alone: never asks the network. kNotFound when the layer is not stored.
  StatusOr<MountedLayer> Restore(uint64_t number, const LayerSpec& layer);
  /// Takes the layer out of view and, when no other number shows it and `data` says so, its data
  /// off the disk.
  enum class Data { kKeep, kDiscard };
  Status Unmount(uint64_t number, Data data);
  /// Takes the data of all layers that nothing shows off the disk. For after the restores of a
  /// start: what was opened ahead and not mounted before the last end is left there.
  Status DiscardUnshown();

  /// To be asked whenever an overlay of these layers is to be mounted, by whomever and soon.
  /// One directory that shows what an overlay of these layers would, bottom first: all numbers are
  /// shown, and no other list ends with the last. Nothing when there is none: by FUSE trees, for
  /// fewer layers than Options::merge_from_layers, and where the kernel or the layers do not allow
  /// it. The directory lasts until one of the layers is unmounted. Never asks the network.
  /// For a container, layers that were mounted for builds only are fetched as others from now on.
  std::optional<std::filesystem::path> ShowChain(std::span<const uint64_t> numbers,
                                                 Reader reader = Reader::kContainer);

  /// To be told when all of a layer is held: then it is shown from the store alone. Returns at
  /// once; does nothing for a layer that is not shown or not complete. From then on the store must
  /// keep the layer's data until it is unmounted: a hole would be read as zeros.
  void OnComplete(const store::LayerKey& key);
  /// Whether the layer that `number` shows is the one that its images' configurations name: known
  /// some time after all of it was fetched in the background (docs/decisions/0021-diff-ids.md).
  DiffIdState diff_id_state(uint64_t number) const;
  /// How layers are shown. Constant.
  const PlaneChoice& data_plane() const;

  HostCounters counters() const;
  // The counters live as long as the host.
  const layer::FetchCounters& fetch_counters() const;
  const MountCounters& mount_counters() const;
  /// May wait for a mount that is on its way, never for the network.
  HostState state() const;

  /// What is held, and what may be done about it. Lives as long as the host.
  layer::Cache& cache();
  /// How the layers fare, and why reads were slow. Lives as long as the host.
  layer::StatusSource& status();

 private:
  struct State;
  static StatusOr<std::unique_ptr<LayerHost>> StartOrAdopt(Options options,
                                                           Dependencies dependencies,
                                                           std::optional<Handover> handover);
  explicit LayerHost(std::unique_ptr<State> state);
  std::unique_ptr<State> state_;
};

}  // namespace starling::mount
