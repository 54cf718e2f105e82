#pragma once

#include <filesystem>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <vector>

#include "base/clock.h"
#include "base/status.h"
#include "snapshotter/filter.h"
#include "snapshotter/layer_mounter.h"
#include "snapshotter/snapshot.h"

namespace starling::snapshotter {

/// Where one snapshot of a chain keeps its files: in the directory of `id`, or in a lazy layer.
struct ChainLink {
  uint64_t id = 0;
  std::optional<uint64_t> layer;

  friend bool operator==(const ChainLink&, const ChainLink&) = default;
};

/// A snapshot and its parents, top first.
struct Chain {
  Kind kind = Kind::kActive;
  ChainLink self;
  std::vector<ChainLink> parents;

  friend bool operator==(const Chain&, const Chain&) = default;
};

struct NewSnapshot {
  uint64_t id = 0;  // from ReserveId
  Kind kind = Kind::kActive;
  std::string key;
  std::string parent;  // may be empty
  Labels labels;
  std::optional<uint64_t> layer;  // only of kCommitted
  std::optional<Usage> usage;
};

struct StoredUsage {
  ChainLink link;
  Kind kind = Kind::kActive;
  std::optional<Usage> usage;  // none: not known yet, the directory tells
};

struct StoredLayer {
  uint64_t number = 0;
  LayerRequest request;
  bool in_use = false;   // by a snapshot, or by a removed one that awaits clean-up
  std::string snapshot;  // the name of the one that has it; empty when none does
};

/// The snapshots' rows in SQLite, each method one transaction: after it returned, a crash loses
/// nothing. Labels with empty values are not kept.
/// Errors: kNotFound and kAlreadyExists speak of keys and names, kInvalidArgument of arguments,
/// kFailedPrecondition of a snapshot's kind or children, kResourceExhausted of a full disk,
/// kDataLoss of a damaged file. Threads: safe; every call may block for the disk.
class MetadataStore {
 public:
  /// Opens or makes `file`. kFailedPrecondition when a newer version wrote it: it stays untouched.
  static StatusOr<std::unique_ptr<MetadataStore>> Open(const std::filesystem::path& file,
                                                       Clock& clock);
  ~MetadataStore();

  /// A directory name for a new snapshot, never given to another whose row was written.
  uint64_t ReserveId();
  /// What Insert would say of `key` and `parent`.
  Status CheckInsert(const std::string& key, const std::string& parent);
  Status Insert(const NewSnapshot& snapshot);
  /// Makes the active snapshot `key` the committed `name`. `parent` may be given for one without.
  /// Its usage stays unknown until SetUsage.
  Status Commit(const std::string& key, const std::string& name, const std::string& parent,
                const Labels& labels);
  /// Frees the name at once; the directory or layer is listed by Removed().
  Status Remove(const std::string& key);

  StatusOr<Chain> Resolve(const std::string& key);
  StatusOr<Info> Stat(const std::string& key);
  /// Replaces the labels that `mask` names ("labels" or "labels.KEY"); all of them when it is
  /// empty.
  StatusOr<Info> UpdateLabels(const std::string& key, const Labels& labels,
                              std::span<const std::string> mask);
  /// In the order of creation, as of one moment.
  StatusOr<std::vector<Info>> List(const Filter& filter);
  StatusOr<StoredUsage> FindUsage(const std::string& key);
  Status SetUsage(uint64_t id, const Usage& usage);

  /// Gives the layer a number that no other ever had or will have. It survives a loss of power when
  /// a snapshot with it, or anything later, was written: else the number is given again.
  StatusOr<uint64_t> AddLayer(const LayerRequest& request);
  /// The layer was not shown after all, or is no longer. Fine if unknown.
  Status ForgetLayer(uint64_t number);
  StatusOr<std::vector<StoredLayer>> Layers();

  /// Snapshots without a name whose files may still exist.
  StatusOr<std::vector<ChainLink>> Removed();
  /// The files of a removed snapshot are gone.
  Status ForgetRemoved(uint64_t id);
  /// Every directory that belongs to a snapshot, removed ones included.
  StatusOr<std::vector<uint64_t>> Ids();

 private:
  struct State;
  explicit MetadataStore(std::unique_ptr<State> state);
  std::unique_ptr<State> state_;
};

}  // namespace starling::snapshotter
