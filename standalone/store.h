#pragma once

#include <chrono>
#include <filesystem>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "base/clock.h"
#include "base/io.h"
#include "base/status.h"
#include "base/unique_fd.h"
#include "oci/descriptor.h"
#include "oci/digest.h"
#include "snapshotter/filter.h"
#include "snapshotter/snapshot.h"
#include "standalone/garbage.h"

namespace starling::standalone {

using Labels = snapshotter::Labels;

/// The snapshots that belong to a store, wherever they are. Threads: one at a time.
class SnapshotTree {
 public:
  virtual ~SnapshotTree() = default;
  virtual StatusOr<std::vector<Holdings::Snapshot>> All() = 0;
  /// Fine when it is not there.
  virtual Status Remove(const std::string& name) = 0;
};

/// Blobs as files, and in SQLite their labels, images, and who holds what. Any number of processes
/// may have one open; what a process has begun that was killed is gone with it or by the next
/// Collect.
///
/// Errors: kNotFound and kAlreadyExists speak of what is asked for, kResourceExhausted of a full
/// disk, kDataLoss of a damaged file. A `lease` may be empty: nothing is held. kFailedPrecondition
/// for one that has ended: nothing is changed then. Threads: safe; every call may block for the
/// disk and for another process.
class Store {
 public:
  /// Opens or makes the directory, 0700. kFailedPrecondition when a newer version wrote it.
  static StatusOr<std::unique_ptr<Store>> Open(std::filesystem::path directory, Clock& clock);
  ~Store();

  /// Hexadecimal digits that no other store has.
  const std::string& id() const;

  struct Content {
    oci::Digest digest;
    uint64_t size_bytes = 0;
    Labels labels;
  };
  /// What is stored of this digest; held by the lease.
  StatusOr<Content> FindContent(const oci::Digest& digest, const std::string& lease);
  /// The blob's file, whatever becomes of the blob; held by the lease.
  StatusOr<UniqueFd> OpenContent(const oci::Digest& digest, const std::string& lease);
  StatusOr<std::vector<Content>> ListContent(const snapshotter::Filter& filter);
  /// Sets these labels; an empty value removes one.
  Status LabelContent(const oci::Digest& digest, const Labels& labels);
  /// It is found no more. What it refers to stays as long as a lease holds it.
  Status DeleteContent(const oci::Digest& digest);

  /// A blob that arrives; without a name until it is committed.
  class Ingest : public ByteSink {
   public:
    Status Write(ByteSpan bytes) override;
    uint64_t size_bytes() const { return size_bytes_; }
    /// Stores it, held by the lease. kFailedPrecondition unless it has the digest that is expected;
    /// kAlreadyExists, held all the same, when it is stored by now. Call once, last.
    Status Commit(const std::optional<oci::Digest>& expected, const Labels& labels,
                  const std::string& lease);

   private:
    friend class Store;
    Ingest(Store& store, UniqueFd file) : store_(store), file_(std::move(file)) {}
    Store& store_;
    UniqueFd file_;
    oci::Sha256 hash_;
    uint64_t size_bytes_ = 0;
  };
  StatusOr<std::unique_ptr<Ingest>> NewIngest();
  /// A file without a name on the store's disk.
  StatusOr<UniqueFd> ScratchFile() const;

  struct Image {
    std::string name;
    oci::Descriptor target;  // without annotations
  };
  Status CreateImage(const Image& image);
  Status UpdateImage(const Image& image);
  StatusOr<Image> FindImage(const std::string& name);
  StatusOr<std::vector<Image>> ListImages();
  /// All of them. What they stand for goes with the next Collect.
  Status ForgetImages();

  /// kAlreadyExists for one that is live.
  Status CreateLease(const std::string& id, std::chrono::sys_seconds expires);
  Status DeleteLease(const std::string& id);
  /// Also of a snapshot that does not exist yet.
  Status HoldSnapshot(const std::string& lease, const std::string& name);
  Status ReleaseSnapshot(const std::string& lease, const std::string& name);
  Status HoldContent(const std::string& lease, const oci::Digest& digest);

  struct Collected {
    size_t contents = 0;
    uint64_t bytes = 0;
    size_t snapshots = 0;
  };
  /// Removes what nobody holds, while nobody can take hold of more; others wait for a few snapshots
  /// at a time.
  StatusOr<Collected> Collect(SnapshotTree& snapshots);

 private:
  struct State;
  explicit Store(std::unique_ptr<State> state);
  Status Publish(const UniqueFd& file, const Content& content, const std::string& lease);
  std::filesystem::path BlobPath(const oci::Digest& digest) const;
  StatusOr<bool> CollectSome(SnapshotTree& snapshots, Collected& collected);
  Status RemoveFiles();
  std::unique_ptr<State> state_;
};

}  // namespace starling::standalone
