#pragma once

#include <filesystem>
#include <map>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <utility>
#include <vector>

#include "base/mutex.h"
#include "base/status.h"
#include "snapshotter/filter.h"
#include "snapshotter/id_mapping.h"
#include "snapshotter/keyed_gate.h"
#include "snapshotter/layer_mounter.h"
#include "snapshotter/metadata_store.h"
#include "snapshotter/overlay_mounts.h"
#include "snapshotter/snapshot.h"

namespace starling::snapshotter {

/// Snapshots as containerd means them: ordinary ones are directories (`s/ID/fs`, `s/ID/work` below
/// the root) for overlayfs, lazy ones are layers that a LayerMounter shows. Names are as short as
/// that because all lower directories together must fit in one page of mount options.
/// Errors are those of the snapshots API, see MetadataStore; kUnavailable when a lazy layer of the
/// chain cannot be shown now. Threads: safe; every call may block for the disk, Prepare for the
/// network too.
class Snapshotter {
 public:
  /// Who fetches layers that cannot be lazy.
  enum class PlainLayers {
    kEager,      // the LayerMounter, as a whole
    kContainerd  // containerd, which unpacks them
  };
  struct Options {
    std::filesystem::path root;
    OverlayFeatures overlay;
    /// What ProbeIdMapping says of the root.
    Status id_mapping = OkStatus();
    PlainLayers plain_layers = PlainLayers::kEager;
  };
  struct Dependencies {
    MetadataStore& metadata;
    LayerMounter& layers;
  };
  /// Shows the lazy layers of an earlier life again and clears what a crash left. Asks no network.
  static StatusOr<std::unique_ptr<Snapshotter>> Open(Options options, Dependencies dependencies);

  /// What became of a Prepare that asked for a layer.
  enum class Remote {
    kNotAsked,
    kPrepared,  // committed under RemoteSnapshotName: the client must be told ALREADY_EXISTS
    kRefused,   // `refusal` says why; the snapshot is an ordinary one
  };
  /// How the layer of a prepared one is fetched.
  enum class Fetch { kPresent, kLazy, kWhole };
  struct Prepared {
    Remote remote = Remote::kNotAsked;
    Fetch fetch = Fetch::kPresent;
    Status refusal;
    std::vector<Mount> mounts;  // empty when kPrepared
  };
  StatusOr<Prepared> Prepare(const std::string& key, const std::string& parent,
                             const Labels& labels);
  StatusOr<std::vector<Mount>> View(const std::string& key, const std::string& parent,
                                    const Labels& labels);
  StatusOr<std::vector<Mount>> Mounts(const std::string& key);
  /// Costs one small transaction however large the snapshot is, because containerd holds its own
  /// write lock meanwhile: the usage is counted when it is first asked for.
  Status Commit(const std::string& key, const std::string& name, const std::string& parent,
                const Labels& labels);
  /// Costs one small transaction; the files go with Cleanup.
  Status Remove(const std::string& key);
  StatusOr<Info> Stat(const std::string& key);
  StatusOr<Info> Update(const std::string& key, const Labels& labels,
                        std::span<const std::string> mask);
  StatusOr<std::vector<Info>> List(const Filter& filter);
  StatusOr<Usage> UsageOf(const std::string& key);

  /// Deletes the files of removed snapshots. What cannot be deleted now is tried again next time
  /// and reported by `failures`.
  struct Cleaned {
    size_t snapshots = 0;
    std::vector<Status> failures;
  };
  StatusOr<Cleaned> Cleanup();

  /// What went wrong in Open without keeping it from working: layers that cannot be shown, files
  /// that cannot be deleted.
  const std::vector<Status>& startup_problems() const { return startup_problems_; }

 private:
  /// A lazy layer; without a mount while it could not be shown after a restart.
  struct ShownLayer {
    LayerRequest request;
    std::optional<LayerMount> mount;
  };

  Snapshotter(Options options, Dependencies dependencies)
      : options_(std::move(options)),
        metadata_(dependencies.metadata),
        layers_(dependencies.layers) {}

  Status RestoreLayers();
  Status DeleteOrphans();
  StatusOr<std::vector<Mount>> Create(Kind kind, const std::string& key, const std::string& parent,
                                      const Labels& labels);
  static Status MakeSnapshotDirectories(const SnapshotDirectories& directories,
                                        const std::optional<Owner>& owner);
  StatusOr<Fetch> PrepareRemote(const std::string& ref, const std::string& parent,
                                const Labels& labels);
  using Chains = std::pair<std::optional<oci::Digest>, std::optional<oci::Digest>>;
  StatusOr<Chains> ChainsOf(const std::string& ref, const std::string& parent);
  Status CommitRemote(uint64_t number, const LayerMount& mount, const std::string& name,
                      const std::string& parent, const Labels& labels);
  Status DiscardLayer(uint64_t number);
  Status DeleteFilesOf(const ChainLink& link);
  StatusOr<std::filesystem::path> LayerPath(uint64_t number);
  StatusOr<std::vector<std::filesystem::path>> LowerOf(std::span<const ChainLink> links,
                                                       Reader reader);
  StatusOr<std::optional<IdMapping>> MappingFor(
      const std::optional<IdMapping>& wished,
      const std::vector<std::filesystem::path>& lower) const;
  SnapshotDirectories DirectoriesOf(uint64_t id, Kind kind,
                                    std::vector<std::filesystem::path> lower,
                                    std::optional<IdMapping> mapping) const;
  std::filesystem::path DirectoryOf(uint64_t id) const;

  const Options options_;
  MetadataStore& metadata_;
  LayerMounter& layers_;
  KeyedGate gate_;
  std::vector<Status> startup_problems_;  // written by Open alone

  Mutex mutex_;  // leaf
  std::map<uint64_t, ShownLayer> shown_ GUARDED_BY(mutex_);
};

}  // namespace starling::snapshotter
