#pragma once

#include <optional>
#include <string_view>
#include <vector>

#include "estargz/toc.h"

namespace starling::estargz {

inline constexpr uint32_t kNoEntry = 0xffffffff;

/// The directory tree that the entries of a TOC build up one after the other, before whiteouts mean
/// anything. Nothing in it recurses: a TOC decides how deep it is.
/// Directories and nodes are numbered; what a replaced directory held stays behind, unreachable.
class PathTree {
 public:
  enum class Kind : uint8_t { kDirectory, kFile, kPendingLink };

  /// A name in a directory.
  struct Node {
    std::string_view name;  // one component
    uint32_t directory = 0;
    uint32_t next = 0;   // in the same directory, or kNone
    uint32_t index = 0;  // kDirectory: its number; kFile: the entry that made the inode;
                         // kPendingLink: the hardlink's entry
    Kind kind = Kind::kFile;
  };
  struct Directory {
    uint32_t entry = kNoEntry;  // with its attributes; kNoEntry: made because something is in it
    uint32_t first_child = 0;   // or kNone
  };

  static constexpr uint32_t kNone = 0xffffffff;
  static constexpr uint32_t kRoot = 0;

  /// Borrows `entries`.
  PathTree(const std::vector<TocEntry>& entries, const TocLimits& limits);

  /// Adds all entries. Errors as LayerTree::Build.
  Status AddAll();
  /// Makes `node` a kFile when it is a kPendingLink, by following links to their end.
  Status Resolve(uint32_t node);

  const std::vector<Node>& nodes() const { return nodes_; }
  const std::vector<Directory>& directories() const { return directories_; }

 private:
  struct Slot {
    uint32_t hash = 0;
    uint32_t node = kNone;
  };
  struct Step {
    std::string_view name;
    uint32_t directory = 0;
  };

  Status Fail(StatusCode code, uint32_t entry, std::string_view how) const;
  Status Add(uint32_t number);
  Status SplitPath(uint32_t number, std::string_view path);
  StatusOr<uint32_t> ParentOf(uint32_t number);
  StatusOr<uint32_t> Subdirectory(uint32_t number, uint32_t directory, std::string_view name);
  StatusOr<uint32_t> Insert(uint32_t number, uint32_t directory, std::string_view name, Kind kind,
                            uint32_t index);
  Status AddLink(uint32_t number, uint32_t node);
  StatusOr<uint32_t> Target(uint32_t number);
  uint32_t NewDirectory(uint32_t entry);
  uint32_t Hash(uint32_t directory, std::string_view name) const;
  size_t SlotOf(uint32_t directory, std::string_view name, uint32_t hash) const;
  uint32_t Find(uint32_t directory, std::string_view name) const;
  void Grow();

  const std::vector<TocEntry>& entries_;
  const TocLimits limits_;
  const uint64_t seed_;  // so that nobody can choose names that collide
  std::vector<Node> nodes_;
  std::vector<Directory> directories_;
  std::vector<Slot> slots_;                   // by directory and name; a power of two of them
  std::vector<std::string_view> components_;  // of the path at hand
  std::vector<Step> steps_;                   // to the parent of the entry before
};

}  // namespace starling::estargz
