#pragma once

#include <chrono>
#include <map>
#include <optional>
#include <string>
#include <vector>

#include "base/mutex.h"
#include "base/status.h"
#include "containerd/client.h"
#include "dockerfile/build/tree.h"
#include "dockerfile/plan/keys.h"
#include "oci/digest.h"

namespace starling::dockerfile::build {

/// What a step has left, and what its key was made of.
struct CachedResult {
  oci::Digest key;
  Tree tree;
  /// What the step is called, by which a changed step finds its former self.
  std::string title;
  std::vector<plan::KeyPart> parts;
};

/// The results of former steps. Each is a blob of containerd that refers to the result's snapshot
/// and layers, so that its garbage collector keeps them as long as it; nothing is kept elsewhere.
/// Borrows the client. Threads: safe.
class ResultCache {
 public:
  ResultCache(containerd::Client& client, std::string snapshotter)
      : client_(client), snapshotter_(std::move(snapshotter)) {}

  /// The result for `key`, if its snapshot is there, too. Marks it as used.
  StatusOr<std::optional<CachedResult>> Find(const oci::Digest& key);
  /// Keeps `result` in place of a former one with its key.
  Status Put(const CachedResult& result);
  /// The latest result of a step called `title`.
  StatusOr<std::optional<CachedResult>> FindByTitle(const std::string& title);

  struct Entry {
    oci::Digest record;  // of the blob
    std::string title;
    uint64_t size_bytes = 0;  // of the step's own layer
    std::chrono::sys_seconds used{};
  };
  /// Of all snapshotters, least recently used first.
  StatusOr<std::vector<Entry>> List();
  struct Pruned {
    size_t entries = 0;
    uint64_t bytes = 0;
  };
  /// Removes the least recently used results until those that stay have `keep_bytes` at most, and
  /// none was used before `used_since`. containerd then collects what nobody else needs.
  StatusOr<Pruned> Prune(uint64_t keep_bytes, std::chrono::sys_seconds used_since = {});

 private:
  StatusOr<std::optional<CachedResult>> Read(const containerd::Client::Content& record);

  containerd::Client& client_;
  const std::string snapshotter_;
};

}  // namespace starling::dockerfile::build
