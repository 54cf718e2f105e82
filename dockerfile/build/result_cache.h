#pragma once

#include <chrono>
#include <functional>
#include <map>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "base/mutex.h"
#include "base/status.h"
#include "containerd/client.h"
#include "dockerfile/build/tree.h"
#include "dockerfile/plan/keys.h"
#include "oci/digest.h"

namespace starling::dockerfile::build {

/// The part of a key that is the key of what the step works on.
inline constexpr std::string_view kBasePart = "base";

/// What a step has left, and what its key was made of.
struct CachedResult {
  oci::Digest key;
  Tree tree;
  /// What the step is called, by which a changed step finds its former self.
  std::string title;
  std::vector<plan::KeyPart> parts;
  /// The step did not look at its base: it makes the same layer on any other.
  bool is_alone = false;
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
  /// A result on any base of a step that does not look at it and has these `parts`.
  StatusOr<std::optional<CachedResult>> FindAlone(const std::vector<plan::KeyPart>& parts);
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
  /// The first result with this label that `fits`, and whose snapshot is there.
  StatusOr<std::optional<CachedResult>> FindBy(
      const char* label, const oci::Digest& key,
      const std::function<bool(const CachedResult&)>& fits);

  containerd::Client& client_;
  const std::string snapshotter_;
};

}  // namespace starling::dockerfile::build
