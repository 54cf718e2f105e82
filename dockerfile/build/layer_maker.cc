#include "dockerfile/build/layer_maker.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <chrono>
#include <utility>

#include "base/log.h"
#include "containerd/pull.h"
#include "diff/upper_tar.h"
#include "dockerfile/build/private_mounts.h"
#include "dockerfile/build/snapshot_mount.h"
#include "dockerfile/files/copy.h"
#include "oci/image_config.h"

namespace starling::dockerfile::build {
namespace {

constexpr const char* kUncompressed = "containerd.io/uncompressed";

/// Removes an active snapshot unless it was committed.
class ActiveSnapshot {
 public:
  ActiveSnapshot(containerd::Client& client, const std::string& snapshotter, std::string key)
      : client_(client), snapshotter_(snapshotter), key_(std::move(key)) {}
  ActiveSnapshot(const ActiveSnapshot&) = delete;
  ActiveSnapshot& operator=(const ActiveSnapshot&) = delete;
  ~ActiveSnapshot() {
    if (key_.empty()) {
      return;
    }
    if (const Status removed = client_.RemoveSnapshot(snapshotter_, key_); !removed.ok()) {
      log::Warning("a build's snapshot is left to containerd's collector",
                   {{"key", key_}, {"error", Describe(removed)}});
    }
  }
  /// Under `name`; somebody else may have made the same layer meanwhile.
  Status Commit(const std::string& name) {
    const Status committed = client_.CommitSnapshot(snapshotter_, name, key_, {});
    if (committed.code() == StatusCode::kAlreadyExists) {
      return OkStatus();  // the destructor removes ours
    }
    RETURN_IF_ERROR(committed);
    key_.clear();
    return OkStatus();
  }

 private:
  containerd::Client& client_;
  const std::string& snapshotter_;
  std::string key_;
};

/// Whether a layer below has something at a path.
bool IsBelow(const std::vector<std::filesystem::path>& lower, const std::string& path) {
  return std::any_of(lower.begin(), lower.end(), [&](const std::filesystem::path& directory) {
    struct stat attributes{};
    return ::lstat((directory / path).c_str(), &attributes) == 0;
  });
}

/// Of what others can stand on: an overlay's.
void Tell(const LayerMaker::OnWritten& on_written, std::shared_ptr<const void> snapshot,
          const std::vector<containerd::Mount>& mounts, const StepFiles& files) {
  if (on_written && mounts[0].type == "overlay") {
    on_written({.snapshot = std::move(snapshot),
                .upper = files.upper,
                .lower = files.lower,
                .options = OverlayOptions(mounts[0])});
  }
}

bool OnOneDisk(const std::filesystem::path& a, const std::filesystem::path& b) {
  struct stat of_a{};
  struct stat of_b{};
  return ::stat(a.c_str(), &of_a) == 0 && ::stat(b.c_str(), &of_b) == 0 &&
         of_a.st_dev == of_b.st_dev;
}

StatusOr<struct stat> AttributesOf(const std::filesystem::path& directory) {
  struct stat attributes{};
  if (::stat(directory.c_str(), &attributes) != 0) {
    return ErrnoError(errno, directory.native());
  }
  return attributes;
}

/// Owner, mode and times.
Status SetAttributes(const std::filesystem::path& directory, const struct stat& attributes) {
  const std::array<timespec, 2> times = {attributes.st_atim, attributes.st_mtim};
  if (::chown(directory.c_str(), attributes.st_uid, attributes.st_gid) != 0 ||
      ::chmod(directory.c_str(), attributes.st_mode & 07777U) != 0 ||
      ::utimensat(AT_FDCWD, directory.c_str(), times.data(), 0) != 0) {
    return ErrnoError(errno, directory.native());
  }
  return OkStatus();
}

/// All that is in `from` into the empty directory `to` of the same disk. What overlayfs noted of
/// the layers below stays true: they are the same.
Status MoveFiles(const std::filesystem::path& from, const std::filesystem::path& to) {
  std::vector<std::filesystem::path> names;
  std::error_code error;
  for (std::filesystem::directory_iterator at(from, error), end; !error && at != end;
       at.increment(error)) {
    names.push_back(at->path().filename());
  }
  if (error) {
    return ErrnoError(error.value(), from.native());
  }
  ASSIGN_OR_RETURN(const struct stat attributes,
                   AttributesOf(from));  // before moving sets its time
  for (const std::filesystem::path& name : names) {
    if (::rename((from / name).c_str(), (to / name).c_str()) != 0) {
      return ErrnoError(errno, (from / name).native());
    }
  }
  return SetAttributes(to, attributes);
}

class MountedView : public LayerMaker::View {
 public:
  MountedView(std::unique_ptr<ActiveSnapshot> snapshot, SnapshotMount mount)
      : snapshot_(std::move(snapshot)), mount_(std::move(mount)) {}
  const std::filesystem::path& path() const override { return mount_.path(); }

 private:
  const std::unique_ptr<ActiveSnapshot> snapshot_;
  const SnapshotMount mount_;  // last: unmounted before the snapshot goes
};

/// What the tree without any files looks like.
class EmptyView : public LayerMaker::View {
 public:
  explicit EmptyView(std::filesystem::path path) : path_(std::move(path)) {}
  ~EmptyView() override { ::rmdir(path_.c_str()); }
  const std::filesystem::path& path() const override { return path_; }

 private:
  const std::filesystem::path path_;
};

std::chrono::sys_seconds Now() {
  return std::chrono::time_point_cast<std::chrono::seconds>(std::chrono::system_clock::now());
}

}  // namespace

std::string LayerMaker::NewKey() {
  return fmt::format("starling-build-{}-{}", options_.build_id, ++keys_);
}

std::filesystem::path LayerMaker::MountPoint(const std::string& key) const {
  return options_.work_directory / key;
}

StatusOr<std::vector<containerd::Mount>> LayerMaker::PrepareOn(const std::string& key,
                                                               const Tree& tree) {
  return client_.PrepareSnapshot(options_.snapshotter, key, tree.snapshot,
                                 containerd::LabelsForBuild());
}

StatusOr<std::vector<containerd::Mount>> LayerMaker::ViewOf(const std::string& key,
                                                            const Tree& tree) {
  return client_.ViewSnapshot(options_.snapshotter, key, tree.snapshot,
                              containerd::LabelsForBuild());
}

StatusOr<Tree> LayerMaker::Make(const Tree& base, Sees sees, const Work& work,
                                const std::vector<std::string>& read_first,
                                const OnWritten& on_written) {
  const std::string key = NewKey();
  ASSIGN_OR_RETURN(const std::vector<containerd::Mount> mounts, PrepareOn(key, base));
  const auto snapshot = std::make_shared<ActiveSnapshot>(client_, options_.snapshotter, key);
  Layer layer;
  RETURN_IF_ERROR(RunWithPrivateMounts(options_.work_directory, [&]() -> Status {
    ASSIGN_OR_RETURN(
        layer, Change(key, mounts, sees, work, read_first,
                      [&](const StepFiles& files) { Tell(on_written, snapshot, mounts, files); }));
    return OkStatus();
  }));
  return Commit(base, std::move(layer), *snapshot);
}

template <typename Snapshot>
StatusOr<Tree> LayerMaker::Commit(const Tree& base, Layer layer, Snapshot& snapshot) {
  Tree tree = base;
  tree.layers.push_back(std::move(layer));
  std::vector<oci::Digest> diff_ids;
  diff_ids.reserve(tree.layers.size());
  for (const Layer& one : tree.layers) {
    diff_ids.push_back(one.diff_id);
  }
  tree.snapshot = oci::ChainIds(diff_ids).back().ToString();
  RETURN_IF_ERROR(snapshot.Commit(tree.snapshot));
  return tree;
}

StatusOr<Tree> LayerMaker::Repeat(const Tree& base, const Tree& other,
                                  const std::stop_token& stop) {
  const std::string view_key = NewKey();
  ASSIGN_OR_RETURN(const std::vector<containerd::Mount> there, ViewOf(view_key, other));
  const ActiveSnapshot view(client_, options_.snapshotter, view_key);
  const std::string key = NewKey();
  ASSIGN_OR_RETURN(const std::vector<containerd::Mount> mounts, PrepareOn(key, base));
  ActiveSnapshot snapshot(client_, options_.snapshotter, key);
  ASSIGN_OR_RETURN(const SnapshotDirectories from, DirectoriesOf(there));
  ASSIGN_OR_RETURN(const SnapshotDirectories to, DirectoriesOf(mounts));
  // Snapshotters may show several layers as one.
  if (from.lower.size() != other.layers.size() || !to.upper) {
    return MakeError(StatusCode::kUnimplemented, "the layer cannot be told from those below it");
  }
  files::CopyRequest request;
  request.sources.emplace_back().root = from.lower.front();
  request.destination = "/";
  RETURN_IF_ERROR(files::CopyFiles(request, *to.upper, stop).status());
  return Commit(base, other.layers.back(), snapshot);
}

Status LayerMaker::Try(const Tree& base, const std::function<Status(const StepFiles&)>& work) {
  const std::string key = NewKey();
  ASSIGN_OR_RETURN(const std::vector<containerd::Mount> mounts, PrepareOn(key, base));
  const ActiveSnapshot snapshot(client_, options_.snapshotter, key);
  return RunWithPrivateMounts(options_.work_directory, [&]() -> Status {
    ASSIGN_OR_RETURN(const SnapshotMount mount, SnapshotMount::Make(mounts, MountPoint(key)));
    return work({.root = mount.path(), .upper = {}, .lower = {}});
  });
}

/// Does the work on the prepared snapshot and stores what it has changed.
StatusOr<Layer> LayerMaker::Change(const std::string& key,
                                   const std::vector<containerd::Mount>& mounts, Sees sees,
                                   const Work& work, const std::vector<std::string>& read_first,
                                   const std::function<void(const StepFiles&)>& on_written) {
  ASSIGN_OR_RETURN(const SnapshotDirectories directories, DirectoriesOf(mounts));
  if (!directories.upper) {
    return MakeError(StatusCode::kInternal, "the snapshotter's mount cannot be written to");
  }
  StepFiles files{
      .root = *directories.upper, .upper = *directories.upper, .lower = directories.lower};
  Cleanup cleanup;
  if (sees == Sees::kNothing) {
    ASSIGN_OR_RETURN(cleanup, work(files));
  } else {
    ASSIGN_OR_RETURN(SnapshotMount mount, SnapshotMount::Make(mounts, MountPoint(key)));
    files.root = mount.path();
    ASSIGN_OR_RETURN(cleanup, work(files));
    RETURN_IF_ERROR(mount.Unmount());
  }
  if (cleanup) {
    RETURN_IF_ERROR(cleanup(files));
  }
  on_written(files);
  return Store(files, read_first);
}

/// Does the work on what `base` has and writes to `upper`, an empty directory beside which there is
/// room for one more.
StatusOr<LayerMaker::Cleanup> LayerMaker::WorkAbove(const Written& base,
                                                    const std::filesystem::path& upper,
                                                    const std::string& key, const Work& work) {
  StepFiles files{.root = MountPoint(key), .upper = upper, .lower = {base.upper}};
  files.lower.insert(files.lower.end(), base.lower.begin(), base.lower.end());
  const std::filesystem::path overlay_work = upper.parent_path() / "work";
  if (::mkdir(overlay_work.c_str(), 0700) != 0) {
    return ErrnoError(errno, overlay_work.native());
  }
  const std::vector<std::string> lower(files.lower.begin(), files.lower.end());
  containerd::Mount overlay{.type = "overlay", .source = "overlay", .options = base.options};
  overlay.options.push_back(fmt::format("lowerdir={}", fmt::join(lower, ":")));
  overlay.options.push_back("upperdir=" + upper.native());
  overlay.options.push_back("workdir=" + overlay_work.native());
  ASSIGN_OR_RETURN(SnapshotMount mount, SnapshotMount::Make({overlay}, files.root));
  ASSIGN_OR_RETURN(Cleanup cleanup, work(files));
  RETURN_IF_ERROR(mount.Unmount());
  return cleanup;
}

StatusOr<Tree> LayerMaker::MakeOn(const UnfinishedBase& base, const Work& work,
                                  const std::vector<std::string>& read_first,
                                  const OnWritten& on_written) {
  // A place on the snapshotter's disk, until there is a snapshot of the base.
  const std::string scratch_key = NewKey();
  ASSIGN_OR_RETURN(const std::vector<containerd::Mount> scratch_mounts,
                   client_.PrepareSnapshot(options_.snapshotter, scratch_key, "", {}));
  const ActiveSnapshot scratch(client_, options_.snapshotter, scratch_key);
  ASSIGN_OR_RETURN(const SnapshotDirectories place, DirectoriesOf(scratch_mounts));
  if (!place.upper || !OnOneDisk(*place.upper, base.files.upper)) {
    ASSIGN_OR_RETURN(const Tree tree, base.wait());
    return Make(tree, Sees::kBase, work, read_first, on_written);
  }
  const std::filesystem::path written = *place.upper / "upper";
  if (::mkdir(written.c_str(), 0755) != 0) {
    return ErrnoError(errno, written.native());
  }
  ASSIGN_OR_RETURN(const struct stat attributes, AttributesOf(base.files.upper));
  RETURN_IF_ERROR(SetAttributes(written, attributes));
  Tree tree;
  Layer layer;
  std::shared_ptr<ActiveSnapshot> snapshot;
  const auto make = [&]() -> Status {
    ASSIGN_OR_RETURN(const Cleanup cleanup, WorkAbove(base.files, written, scratch_key, work));
    ASSIGN_OR_RETURN(tree, base.wait());
    const std::string key = NewKey();
    ASSIGN_OR_RETURN(const std::vector<containerd::Mount> mounts, PrepareOn(key, tree));
    snapshot = std::make_shared<ActiveSnapshot>(client_, options_.snapshotter, key);
    ASSIGN_OR_RETURN(const SnapshotDirectories directories, DirectoriesOf(mounts));
    if (!directories.upper) {
      return MakeError(StatusCode::kInternal, "the snapshotter's mount cannot be written to");
    }
    RETURN_IF_ERROR(MoveFiles(written, *directories.upper));
    const StepFiles files{
        .root = *directories.upper, .upper = *directories.upper, .lower = directories.lower};
    if (cleanup) {
      RETURN_IF_ERROR(cleanup(files));
    }
    Tell(on_written, snapshot, mounts, files);
    ASSIGN_OR_RETURN(layer, Store(files, read_first));
    return OkStatus();
  };
  RETURN_IF_ERROR(RunWithPrivateMounts(options_.work_directory, make));
  return Commit(tree, std::move(layer), *snapshot);
}

StatusOr<Layer> LayerMaker::Store(const StepFiles& files,
                                  const std::vector<std::string>& read_first) {
  diff::UpperTarOptions tar_options;
  tar_options.latest_modified_seconds = options_.source_date_epoch;
  tar_options.is_below = [&files](const std::string& path) { return IsBelow(files.lower, path); };
  ASSIGN_OR_RETURN(const std::unique_ptr<diff::UpperTar> tar,
                   diff::UpperTar::Open(files.upper, std::move(tar_options)));
  LayerFormat format = options_.format;
  format.read_first = read_first;
  return StoreLayer(
      client_, *tar, format,
      options_.source_date_epoch
          ? std::chrono::sys_seconds(std::chrono::seconds(*options_.source_date_epoch))
          : Now());
}

StatusOr<Layer> StoreLayer(containerd::Client& client, ByteSource& tar, const LayerFormat& format,
                           std::chrono::sys_seconds created) {
  ASSIGN_OR_RETURN(const std::unique_ptr<containerd::Client::NewContentWriter> writer,
                   client.WriteNewContent());
  ASSIGN_OR_RETURN(const WrittenBlob blob, WriteBlob(tar, *writer, format));
  RETURN_IF_ERROR(
      writer->Commit(blob.descriptor.digest, {{kUncompressed, blob.diff_id.ToString()}}));
  return Layer{.blob = blob.descriptor, .diff_id = blob.diff_id, .created = created};
}

StatusOr<std::unique_ptr<LayerMaker::View>> LayerMaker::Show(const Tree& tree) {
  const std::string key = NewKey();
  if (tree.snapshot.empty()) {
    const std::filesystem::path at = MountPoint(key);
    if (::mkdir(at.c_str(), 0755) != 0) {
      return ErrnoError(errno, at.native());
    }
    return std::make_unique<EmptyView>(at);
  }
  ASSIGN_OR_RETURN(const std::vector<containerd::Mount> mounts, ViewOf(key, tree));
  auto snapshot = std::make_unique<ActiveSnapshot>(client_, options_.snapshotter, key);
  ASSIGN_OR_RETURN(SnapshotMount mount, SnapshotMount::Make(mounts, MountPoint(key)));
  return std::make_unique<MountedView>(std::move(snapshot), std::move(mount));
}

Status LayerMaker::Look(const Tree& tree,
                        const std::function<Status(const std::filesystem::path&)>& look) {
  return RunWithPrivateMounts(options_.work_directory, [&]() -> Status {
    ASSIGN_OR_RETURN(const std::unique_ptr<View> view, Show(tree));
    return look(view->path());
  });
}

}  // namespace starling::dockerfile::build
