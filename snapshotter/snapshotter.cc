#include "snapshotter/snapshotter.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <charconv>
#include <set>
#include <tuple>

#include "api/snapshot_labels.h"
#include "base/file_system.h"
#include "snapshotter/disk_usage.h"
#include "snapshotter/labels.h"

namespace starling::snapshotter {
namespace {

namespace fs = std::filesystem;

constexpr mode_t kRootMode = 0700;
constexpr mode_t kUpperMode = 0755;
constexpr mode_t kWorkMode = 0711;

Status MakeDirectory(const fs::path& path, mode_t mode) {
  if (::mkdir(path.c_str(), mode) != 0) {
    return ErrnoError(errno, fmt::format("cannot make {}", path.string()));
  }
  return OkStatus();
}

Status RemoveTree(const fs::path& path) {
  std::error_code error;
  fs::remove_all(path, error);
  return error ? ErrnoError(error.value(), fmt::format("cannot delete {}", path.string()))
               : OkStatus();
}

StatusOr<struct stat> LookAt(const fs::path& path) {
  struct stat found{};
  if (::lstat(path.c_str(), &found) != 0) {
    return ErrnoError(errno, fmt::format("cannot look at {}", path.string()));
  }
  return found;
}

Status Change(const fs::path& path, const Owner& owner, mode_t mode) {
  if (::lchown(path.c_str(), owner.uid, owner.gid) != 0 || ::chmod(path.c_str(), mode) != 0) {
    return ErrnoError(errno, fmt::format("cannot change {}", path.string()));
  }
  return OkStatus();
}

std::optional<uint64_t> ParseId(const std::string& name) {
  uint64_t id = 0;
  const auto [end, error] = std::from_chars(name.data(), name.data() + name.size(), id);
  const bool whole = error == std::errc() && end == name.data() + name.size();
  return whole ? std::optional<uint64_t>(id) : std::nullopt;
}

std::string GateOfLayer(uint64_t number) { return fmt::format("layer {}", number); }

}  // namespace

StatusOr<std::unique_ptr<Snapshotter>> Snapshotter::Open(Options options,
                                                         Dependencies dependencies) {
  RETURN_IF_ERROR(CheckOverlayPath(options.root));
  RETURN_IF_ERROR(MakeDirectories(options.root / "s", kRootMode));
  auto snapshotter =
      std::unique_ptr<Snapshotter>(new Snapshotter(std::move(options), dependencies));
  RETURN_IF_ERROR(snapshotter->RestoreLayers());
  RETURN_IF_ERROR(snapshotter->DeleteOrphans());
  return snapshotter;
}

Status Snapshotter::RestoreLayers() {
  ASSIGN_OR_RETURN(std::vector<StoredLayer> stored, metadata_.Layers());
  bool all_restored = true;
  std::vector<uint64_t> unused;
  for (StoredLayer& layer : stored) {
    if (!layer.snapshot.empty()) {
      ASSIGN_OR_RETURN(const Info info, metadata_.Stat(layer.snapshot));
      ASSIGN_OR_RETURN(std::tie(layer.request.chain, layer.request.parent_chain),
                       ChainsOf(SnapshotRefOf(info.labels).value_or(""), info.parent));
      layer.request.reader = ReaderOf(info.labels);
    }
    StatusOr<LayerMount> mount = layers_.Restore(layer.number, layer.request);
    if (!layer.in_use) {
      // A crash came between the layer and its snapshot. Restored, because only then its data can
      // go.
      unused.push_back(layer.number);
      continue;
    }
    if (!mount.ok()) {
      all_restored = false;
      startup_problems_.push_back(
          Annotate(mount.status(),
                   fmt::format("layer {} of {} is not shown yet", layer.request.layer.ToString(),
                               layer.request.image_reference)));
    }
    MutexLock lock(mutex_);
    shown_[layer.number] = {.request = layer.request,
                            .mount = mount.ok() ? std::optional(*std::move(mount)) : std::nullopt};
  }
  RETURN_IF_ERROR(layers_.Serve());
  for (const uint64_t number : unused) {
    if (const Status discarded = DiscardLayer(number); !discarded.ok()) {
      startup_problems_.push_back(discarded);
    }
  }
  if (all_restored) {  // else the data of one that is needed might seem to be nobody's
    if (const Status discarded = layers_.DiscardOthers(); !discarded.ok()) {
      startup_problems_.push_back(discarded);
    }
  }
  return OkStatus();
}

Status Snapshotter::DeleteOrphans() {
  ASSIGN_OR_RETURN(const std::vector<uint64_t> ids, metadata_.Ids());
  const std::set<uint64_t> known(ids.begin(), ids.end());
  std::error_code error;
  for (const fs::directory_entry& entry : fs::directory_iterator(options_.root / "s", error)) {
    const std::optional<uint64_t> id = ParseId(entry.path().filename());
    if (!id.has_value() || known.contains(*id)) {
      continue;
    }
    if (const Status removed = RemoveTree(entry.path()); !removed.ok()) {
      startup_problems_.push_back(removed);
    }
  }
  if (error) {
    return ErrnoError(error.value(), fmt::format("cannot list {}/s", options_.root.string()));
  }
  ASSIGN_OR_RETURN(const Cleaned cleaned, Cleanup());
  startup_problems_.insert(startup_problems_.end(), cleaned.failures.begin(),
                           cleaned.failures.end());
  return OkStatus();
}

StatusOr<Snapshotter::Prepared> Snapshotter::Prepare(const std::string& key,
                                                     const std::string& parent,
                                                     const Labels& labels) {
  Prepared prepared;
  if (const std::optional<std::string> ref = SnapshotRefOf(labels); ref.has_value()) {
    RETURN_IF_ERROR(metadata_.CheckInsert(key, parent));
    const StatusOr<Fetch> fetch = PrepareRemote(*ref, parent, labels);
    if (fetch.ok()) {
      prepared.remote = Remote::kPrepared;
      prepared.fetch = *fetch;
      return prepared;
    }
    prepared.remote = Remote::kRefused;
    prepared.refusal = fetch.status();
  }
  ASSIGN_OR_RETURN(prepared.mounts, Create(Kind::kActive, key, parent, labels));
  return prepared;
}

// OK: a snapshot that shows the layer is committed for `ref` on `parent`.
StatusOr<Snapshotter::Fetch> Snapshotter::PrepareRemote(const std::string& ref,
                                                        const std::string& parent,
                                                        const Labels& labels) {
  const std::string name = RemoteSnapshotName(ref, parent);
  // A racing pull of the same layer waits here and then finds the snapshot.
  const KeyedGate::Pass pass = gate_.Enter(name);
  const StatusOr<Info> existing = metadata_.Stat(name);
  if (existing.ok()) {
    return Fetch::kPresent;
  }
  if (existing.status().code() != StatusCode::kNotFound) {
    return existing.status();
  }
  ASSIGN_OR_RETURN(LayerRequest request, LayerRequestFromLabels(labels));
  ASSIGN_OR_RETURN(std::tie(request.chain, request.parent_chain), ChainsOf(ref, parent));
  if (oci::IsPlain(request.layer, request.toc) &&
      options_.plain_layers == PlainLayers::kContainerd) {
    return oci::FindTocDigest(labels).status();
  }
  ASSIGN_OR_RETURN(const uint64_t number, metadata_.AddLayer(request));
  StatusOr<LayerMount> mount = layers_.Mount(number, request);
  if (!mount.ok()) {
    RETURN_IF_ERROR(metadata_.ForgetLayer(number));
    return mount.status();
  }
  {
    MutexLock lock(mutex_);
    shown_[number] = {.request = request, .mount = *mount};
  }
  const Status committed = CommitRemote(number, *mount, name, parent, labels);
  if (!committed.ok()) {
    // If this fails too, the next start discards the layer.
    (void)DiscardLayer(number);
    return committed;
  }
  return mount->is_whole ? Fetch::kWhole : Fetch::kLazy;
}

/// The chain ID of a layer that is asked for as `ref`, and of what is below it. Nothing when one of
/// them is not known.
StatusOr<Snapshotter::Chains> Snapshotter::ChainsOf(const std::string& ref,
                                                    const std::string& parent) {
  const std::optional<oci::Digest> chain = ChainIdIn(ref);
  if (!chain) {
    return Chains();
  }
  if (parent.empty()) {
    return Chains(*chain, std::nullopt);
  }
  ASSIGN_OR_RETURN(const Info below, metadata_.Stat(parent));
  const std::optional<oci::Digest> parent_chain = ChainIdOf(below);
  return parent_chain ? Chains(*chain, parent_chain) : Chains();
}

Status Snapshotter::CommitRemote(uint64_t number, const LayerMount& mount, const std::string& name,
                                 const std::string& parent, const Labels& labels) {
  NewSnapshot snapshot{.id = metadata_.ReserveId(),
                       .kind = Kind::kCommitted,
                       .key = name,
                       .parent = parent,
                       .labels = labels,
                       .layer = number,
                       .usage = Usage{.size_bytes = mount.size_bytes, .inodes = mount.inodes}};
  snapshot.labels[std::string(api::snapshot_label::kRemote)] = api::snapshot_label::kRemoteValue;
  return metadata_.Insert(snapshot);
}

StatusOr<std::vector<Mount>> Snapshotter::View(const std::string& key, const std::string& parent,
                                               const Labels& labels) {
  return Create(Kind::kView, key, parent, labels);
}

StatusOr<std::vector<Mount>> Snapshotter::Create(Kind kind, const std::string& key,
                                                 const std::string& parent, const Labels& labels) {
  RETURN_IF_ERROR(metadata_.CheckInsert(key, parent));
  ASSIGN_OR_RETURN(const std::optional<IdMapping> wished, IdMappingOf(labels));
  std::vector<fs::path> lower;
  if (!parent.empty()) {
    ASSIGN_OR_RETURN(const Chain below, metadata_.Resolve(parent));
    std::vector<ChainLink> links = {below.self};
    links.insert(links.end(), below.parents.begin(), below.parents.end());
    ASSIGN_OR_RETURN(lower, LowerOf(links, ReaderOf(labels)));
  }
  ASSIGN_OR_RETURN(std::optional<IdMapping> mapping, MappingFor(wished, lower));
  const uint64_t id = metadata_.ReserveId();
  const SnapshotDirectories directories = DirectoriesOf(id, kind, std::move(lower), mapping);
  const auto make_and_insert = [&]() -> Status {
    RETURN_IF_ERROR(
        MakeSnapshotDirectories(directories, wished ? std::optional(wished->root) : std::nullopt));
    return metadata_.Insert(
        {.id = id, .kind = kind, .key = key, .parent = parent, .labels = labels});
  };
  if (const Status made = make_and_insert(); !made.ok()) {
    // If this fails too, the next start deletes the directory.
    (void)RemoveTree(DirectoryOf(id));
    return made;
  }
  return MountsOf(directories, options_.overlay);
}

/// `owner` is that of the new root, if not its parent's.
Status Snapshotter::MakeSnapshotDirectories(const SnapshotDirectories& directories,
                                            const std::optional<Owner>& owner) {
  if (directories.kind == Kind::kView && !directories.lower.empty()) {
    return OkStatus();
  }
  RETURN_IF_ERROR(MakeDirectory(directories.upper.parent_path(), kRootMode));
  RETURN_IF_ERROR(MakeDirectory(directories.upper, kUpperMode));
  // Owner and mode of the merged root are those of the upper directory, so it starts with its
  // parent's. Without a parent the mode is what it is whatever the umask says.
  Owner upper_owner;
  mode_t upper_mode = kUpperMode;
  if (!directories.lower.empty()) {
    ASSIGN_OR_RETURN(const struct stat below, LookAt(directories.lower.front()));
    upper_owner = {.uid = below.st_uid, .gid = below.st_gid};
    upper_mode = below.st_mode & 07777;
  }
  RETURN_IF_ERROR(Change(directories.upper, owner.value_or(upper_owner), upper_mode));
  if (directories.kind == Kind::kActive) {
    RETURN_IF_ERROR(MakeDirectory(directories.work, kWorkMode));
  }
  return OkStatus();
}

StatusOr<std::vector<Mount>> Snapshotter::Mounts(const std::string& key) {
  ASSIGN_OR_RETURN(const Chain chain, metadata_.Resolve(key));
  if (chain.kind == Kind::kCommitted) {
    return MakeError(StatusCode::kFailedPrecondition,
                     fmt::format("snapshot \"{}\" is committed: it has no mounts", key));
  }
  ASSIGN_OR_RETURN(const Info info, metadata_.Stat(key));
  ASSIGN_OR_RETURN(const std::optional<IdMapping> wished, IdMappingOf(info.labels));
  ASSIGN_OR_RETURN(std::vector<fs::path> lower, LowerOf(chain.parents, ReaderOf(info.labels)));
  ASSIGN_OR_RETURN(std::optional<IdMapping> mapping, MappingFor(wished, lower));
  return MountsOf(DirectoriesOf(chain.self.id, chain.kind, std::move(lower), std::move(mapping)),
                  options_.overlay);
}

/// How the IDs of `lower` are to be mapped for who wishes that: not at all if the client has
/// changed the owners of all files itself, which it does when it thinks that we cannot map them (a
/// snapshot "-remap" between the image and the container).
StatusOr<std::optional<IdMapping>> Snapshotter::MappingFor(
    const std::optional<IdMapping>& wished, const std::vector<fs::path>& lower) const {
  if (!wished || lower.empty()) {
    return std::optional<IdMapping>();
  }
  ASSIGN_OR_RETURN(const struct stat below, LookAt(lower.front()));
  if (wished->HasOnHost({.uid = below.st_uid, .gid = below.st_gid})) {
    return std::optional<IdMapping>();
  }
  if (!options_.id_mapping.ok()) {
    return MakeError(
        StatusCode::kFailedPrecondition,
        fmt::format("IDs cannot be mapped here: {}. Take \"remap-ids\" from the capabilities of "
                    "this snapshotter in containerd's configuration: it will change the owners "
                    "of a copy then, which is slow",
                    Describe(options_.id_mapping)));
  }
  return wished;
}

Status Snapshotter::Commit(const std::string& key, const std::string& name,
                           const std::string& parent, const Labels& labels) {
  return metadata_.Commit(key, name, parent, labels);
}

Status Snapshotter::Remove(const std::string& key) { return metadata_.Remove(key); }

StatusOr<Info> Snapshotter::Stat(const std::string& key) { return metadata_.Stat(key); }

StatusOr<Info> Snapshotter::Update(const std::string& key, const Labels& labels,
                                   std::span<const std::string> mask) {
  return metadata_.UpdateLabels(key, labels, mask);
}

StatusOr<std::vector<Info>> Snapshotter::List(const Filter& filter) {
  return metadata_.List(filter);
}

StatusOr<Usage> Snapshotter::UsageOf(const std::string& key) {
  ASSIGN_OR_RETURN(const StoredUsage stored, metadata_.FindUsage(key));
  if (stored.usage.has_value()) {
    return *stored.usage;
  }
  if (stored.kind == Kind::kView) {
    return Usage();
  }
  ASSIGN_OR_RETURN(const Usage usage, DiskUsage(DirectoryOf(stored.link.id) / "fs"));
  if (stored.kind == Kind::kCommitted) {
    // Committed content does not change, so what is counted now is what was committed.
    RETURN_IF_ERROR(metadata_.SetUsage(stored.link.id, usage));
  }
  return usage;
}

StatusOr<Snapshotter::Cleaned> Snapshotter::Cleanup() {
  const KeyedGate::Pass pass = gate_.Enter("cleanup");
  ASSIGN_OR_RETURN(const std::vector<ChainLink> removed, metadata_.Removed());
  Cleaned cleaned;
  for (const ChainLink& link : removed) {
    const Status deleted = DeleteFilesOf(link);
    if (deleted.ok()) {
      ++cleaned.snapshots;
    } else {
      cleaned.failures.push_back(deleted);
    }
  }
  return cleaned;
}

Status Snapshotter::DeleteFilesOf(const ChainLink& link) {
  if (!link.layer.has_value()) {
    RETURN_IF_ERROR(RemoveTree(DirectoryOf(link.id)));
    return metadata_.ForgetRemoved(link.id);
  }
  const Status discarded = layers_.Discard(*link.layer);
  if (!discarded.ok() && discarded.code() != StatusCode::kNotFound) {
    return Annotate(discarded, fmt::format("cannot discard layer {}", *link.layer));
  }
  {
    MutexLock lock(mutex_);
    shown_.erase(*link.layer);
  }
  RETURN_IF_ERROR(metadata_.ForgetRemoved(link.id));
  return metadata_.ForgetLayer(*link.layer);
}

// For a layer that no snapshot has.
Status Snapshotter::DiscardLayer(uint64_t number) {
  {
    MutexLock lock(mutex_);
    shown_.erase(number);
  }
  const Status discarded = layers_.Discard(number);
  if (!discarded.ok() && discarded.code() != StatusCode::kNotFound) {
    return Annotate(discarded, fmt::format("cannot discard layer {}", number));
  }
  return metadata_.ForgetLayer(number);
}

StatusOr<fs::path> Snapshotter::LayerPath(uint64_t number) {
  const KeyedGate::Pass pass = gate_.Enter(GateOfLayer(number));
  LayerRequest request;
  {
    MutexLock lock(mutex_);
    const auto shown = shown_.find(number);
    if (shown == shown_.end()) {
      return MakeError(StatusCode::kUnavailable, fmt::format("layer {} is being removed", number));
    }
    if (shown->second.mount.has_value()) {
      return shown->second.mount->path;
    }
    request = shown->second.request;
  }
  // It could not be shown at start. The disk first; the network only for what the disk has lost.
  StatusOr<LayerMount> mount = layers_.Restore(number, request);
  if (!mount.ok() && mount.status().code() == StatusCode::kNotFound) {
    mount = layers_.Mount(number, request);
  }
  if (!mount.ok()) {
    return MakeError(StatusCode::kUnavailable,
                     fmt::format("layer {} of {} cannot be shown: {}", request.layer.ToString(),
                                 request.image_reference, Describe(mount.status())));
  }
  MutexLock lock(mutex_);
  shown_[number] = {.request = request, .mount = *mount};
  return mount->path;
}

StatusOr<std::vector<fs::path>> Snapshotter::LowerOf(std::span<const ChainLink> links,
                                                     Reader reader) {
  std::vector<fs::path> lower;
  for (const ChainLink& link : links) {
    if (!link.layer.has_value()) {
      lower.push_back(DirectoryOf(link.id) / "fs");
      continue;
    }
    ASSIGN_OR_RETURN(const fs::path path, LayerPath(*link.layer));
    lower.push_back(path);
  }
  // The lazy layers below the lowest ordinary one may be one directory.
  std::vector<uint64_t> lazy;  // bottom first
  for (auto link = links.rbegin(); link != links.rend() && link->layer.has_value(); ++link) {
    lazy.push_back(*link->layer);
  }
  if (lazy.empty()) {
    return lower;
  }
  if (std::optional<fs::path> merged = layers_.ShowChain(lazy, reader); merged.has_value()) {
    lower.resize(lower.size() - lazy.size());
    lower.push_back(*std::move(merged));
  }
  return lower;
}

SnapshotDirectories Snapshotter::DirectoriesOf(uint64_t id, Kind kind, std::vector<fs::path> lower,
                                               std::optional<IdMapping> mapping) const {
  const fs::path directory = DirectoryOf(id);
  return {.kind = kind,
          .upper = directory / "fs",
          .work = directory / "work",
          .lower = std::move(lower),
          .id_mapping = std::move(mapping)};
}

fs::path Snapshotter::DirectoryOf(uint64_t id) const {
  return options_.root / "s" / std::to_string(id);
}

}  // namespace starling::snapshotter
