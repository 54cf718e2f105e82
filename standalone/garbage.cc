#include "standalone/garbage.h"

#include <string_view>
#include <unordered_map>
#include <unordered_set>

namespace starling::standalone {
namespace {

constexpr const char* kRootLabel = "containerd.io/gc.root";
constexpr std::string_view kContentPrefix = "containerd.io/gc.ref.content";
constexpr std::string_view kSnapshotPrefix = "containerd.io/gc.ref.snapshot.";

class Marking {
 public:
  explicit Marking(const Holdings& holdings) {
    for (const Holdings::Content& content : holdings.contents) {
      contents_.emplace(content.digest, &content);
    }
    for (const Holdings::Snapshot& snapshot : holdings.snapshots) {
      snapshots_.emplace(snapshot.name, &snapshot);
    }
    for (const Holdings::Content& content : holdings.contents) {
      if (!content.is_deleted && content.labels.contains(kRootLabel)) {
        ReachContent(content.digest);
      }
    }
    for (const std::set<std::string>* digests :
         {&holdings.held_contents, &holdings.image_targets}) {
      for (const std::string& digest : *digests) {
        ReachContent(digest);
      }
    }
    for (const std::string& name : holdings.held_snapshots) {
      ReachSnapshot(name);
    }
    Follow();
  }

  bool HasContent(const std::string& digest) const { return reached_contents_.contains(digest); }
  bool HasSnapshot(const std::string& name) const { return reached_snapshots_.contains(name); }

 private:
  void ReachContent(const std::string& digest) {
    const auto found = contents_.find(digest);
    if (found != contents_.end() && reached_contents_.insert(digest).second) {
      to_follow_.push_back(found->second);
    }
  }
  void ReachSnapshot(const std::string& name) {
    for (auto found = snapshots_.find(name);
         found != snapshots_.end() && reached_snapshots_.insert(found->first).second;
         found = snapshots_.find(found->second->parent)) {
    }
  }
  void Follow() {
    while (!to_follow_.empty()) {
      const Holdings::Content& content = *to_follow_.back();
      to_follow_.pop_back();
      for (const auto& [label, value] : content.labels) {
        if (label.starts_with(kContentPrefix)) {
          ReachContent(value);
        } else if (label.starts_with(kSnapshotPrefix)) {
          ReachSnapshot(value);
        }
      }
    }
  }

  std::unordered_map<std::string, const Holdings::Content*> contents_;
  std::unordered_map<std::string, const Holdings::Snapshot*> snapshots_;
  std::unordered_set<std::string> reached_contents_;
  std::unordered_set<std::string> reached_snapshots_;
  std::vector<const Holdings::Content*> to_follow_;
};

/// Sorts children before their parents.
std::vector<std::string> ChildrenFirst(const std::vector<const Holdings::Snapshot*>& snapshots) {
  std::unordered_map<std::string, size_t> children;
  std::unordered_map<std::string, const Holdings::Snapshot*> by_name;
  for (const Holdings::Snapshot* snapshot : snapshots) {
    by_name.emplace(snapshot->name, snapshot);
    ++children[snapshot->parent];
  }
  std::vector<std::string> sorted;
  for (const Holdings::Snapshot* snapshot : snapshots) {
    if (children.contains(snapshot->name)) {
      continue;
    }
    // A leaf, and then each parent whose last child it was.
    const Holdings::Snapshot* at = snapshot;
    sorted.push_back(at->name);
    for (auto parent = by_name.find(at->parent);
         parent != by_name.end() && --children[parent->first] == 0;
         parent = by_name.find(at->parent)) {
      at = parent->second;
      sorted.push_back(at->name);
    }
  }
  return sorted;
}

}  // namespace

Garbage FindGarbage(const Holdings& holdings) {
  const Marking marking(holdings);
  Garbage garbage;
  for (const Holdings::Content& content : holdings.contents) {
    if (!marking.HasContent(content.digest)) {
      garbage.contents.push_back(content.digest);
    }
  }
  std::vector<const Holdings::Snapshot*> unreached;
  for (const Holdings::Snapshot& snapshot : holdings.snapshots) {
    if (!marking.HasSnapshot(snapshot.name)) {
      unreached.push_back(&snapshot);
    }
  }
  garbage.snapshots = ChildrenFirst(unreached);
  return garbage;
}

}  // namespace starling::standalone
