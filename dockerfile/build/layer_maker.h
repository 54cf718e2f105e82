#pragma once

#include <atomic>
#include <filesystem>
#include <functional>
#include <optional>
#include <set>
#include <stop_token>
#include <string>
#include <vector>

#include "base/status.h"
#include "containerd/client.h"
#include "dockerfile/build/layer_format.h"
#include "dockerfile/build/tree.h"

namespace starling::dockerfile::build {

/// What a step works on.
struct StepFiles {
  /// The tree. For steps that do not look at their base: what they write alone.
  std::filesystem::path root;
  /// Where changes of `root` go, and what lies below it, top first.
  std::filesystem::path upper;
  std::vector<std::filesystem::path> lower;
};

/// Turns changes into layers: prepares a snapshot, lets a step write to it, stores what it wrote
/// as a blob and commits the very snapshot under its chain ID. Borrows the client. Threads: safe.
class LayerMaker {
 public:
  struct Options {
    std::string snapshotter;
    LayerFormat format;
    /// No file of a layer is younger, in seconds since 1970; also the time of the layer itself.
    std::optional<int64_t> source_date_epoch;
    /// Where a step's files and mounts are, for it alone (RunWithPrivateMounts).
    std::filesystem::path work_directory;
    /// Differs between builds.
    std::string build_id;
  };
  LayerMaker(containerd::Client& client, Options options)
      : client_(client), options_(std::move(options)) {}

  /// What is done once nobody has a step's files open any more; `upper` is what it wrote.
  using Cleanup = std::function<Status(const StepFiles&)>;
  /// What a step does to its files; the cleanup that it returns may be null.
  using Work = std::function<StatusOr<Cleanup>(const StepFiles&)>;
  enum class Sees { kBase, kNothing };

  /// What a step has written and what it stands on, while its layer is being stored. Nothing of it
  /// changes any more, and none of the directories moves.
  struct Written {
    /// As long as this is held, they are there.
    std::shared_ptr<const void> snapshot;
    std::filesystem::path upper;
    std::vector<std::filesystem::path> lower;  // top first
    std::vector<std::string> options;          // of such an overlay's mount
  };
  using OnWritten = std::function<void(const Written&)>;
  /// A base whose layer is being stored.
  struct UnfinishedBase {
    Written files;
    /// Blocks until it is stored, and says under which name.
    std::function<StatusOr<Tree>()> wait;
  };

  /// `base` with one layer more, of which `read_first` is as in LayerFormat. The work is done with
  /// mounts of its own. After an error nothing is left of it. Blocks.
  /// `on_written` hears of it before that is stored, where others can stand on it already.
  StatusOr<Tree> Make(const Tree& base, Sees sees, const Work& work,
                      const std::vector<std::string>& read_first = {},
                      const OnWritten& on_written = nullptr);
  /// The same on a base that is not stored yet: the work is done meanwhile. What it has written is
  /// moved into the base's snapshot then.
  StatusOr<Tree> MakeOn(const UnfinishedBase& base, const Work& work,
                        const std::vector<std::string>& read_first, const OnWritten& on_written);

  /// `base` with the topmost layer of `other`: the same blob, with its files in a snapshot of this
  /// base. Only for a layer that was made without looking at what lies below it. Blocks.
  /// kUnimplemented where its files cannot be had alone; kNotFound when they are gone.
  StatusOr<Tree> Repeat(const Tree& base, const Tree& other, const std::stop_token& stop);

  /// Works on a copy of `base` that nobody keeps. Blocks.
  Status Try(const Tree& base, const std::function<Status(const StepFiles&)>& work);

  /// A tree at a directory, to read. Only within the work of Make or Look.
  class View;
  StatusOr<std::unique_ptr<View>> Show(const Tree& tree);
  /// Lets `look` see a tree, with mounts of its own. Blocks.
  Status Look(const Tree& tree, const std::function<Status(const std::filesystem::path&)>& look);

 private:
  std::string NewKey();
  std::filesystem::path MountPoint(const std::string& key) const;
  /// Snapshots on `tree` for a step: one to change, and one to read.
  StatusOr<std::vector<containerd::Mount>> PrepareOn(const std::string& key, const Tree& tree);
  StatusOr<std::vector<containerd::Mount>> ViewOf(const std::string& key, const Tree& tree);
  /// `on_written` is told of the step's files.
  StatusOr<Layer> Change(const std::string& key, const std::vector<containerd::Mount>& mounts,
                         Sees sees, const Work& work, const std::vector<std::string>& read_first,
                         const std::function<void(const StepFiles&)>& on_written);
  StatusOr<Cleanup> WorkAbove(const Written& base, const std::filesystem::path& upper,
                              const std::string& key, const Work& work);
  StatusOr<Layer> Store(const StepFiles& files, const std::vector<std::string>& read_first);
  /// `base` with this layer, whose files the active snapshot has.
  template <typename Snapshot>
  StatusOr<Tree> Commit(const Tree& base, Layer layer, Snapshot& snapshot);

  containerd::Client& client_;
  const Options options_;
  std::atomic<uint64_t> keys_ = 0;
};

/// Stores `tar` in containerd as a layer of this time. Blocks.
StatusOr<Layer> StoreLayer(containerd::Client& client, ByteSource& tar, const LayerFormat& format,
                           std::chrono::sys_seconds created);

/// Removes its snapshot when it goes.
class LayerMaker::View {
 public:
  virtual ~View() = default;
  virtual const std::filesystem::path& path() const = 0;
};

}  // namespace starling::dockerfile::build
