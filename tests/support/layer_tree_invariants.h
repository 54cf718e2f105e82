/// What every accepted LayerTree promises, checked from the outside.
#pragma once

#include <sys/stat.h>

#include <cstdint>
#include <string>
#include <vector>

#include "estargz/layer_tree.h"

namespace starling::testing_support {

/// One promise of LayerTree at a time. The first that is broken is in `broken`, else it is empty.
class LayerTreeInvariants {
 public:
  LayerTreeInvariants(const estargz::LayerTree& tree, uint64_t payload_end)
      : tree_(tree), inodes_(tree.inodes()), payload_end_(payload_end) {
    if (Expect(!inodes_.empty() && S_ISDIR(inodes_[0].mode), "the root is a directory")) {
      CheckNames();
      CheckLinks();
      CheckChunks();
    }
  }

  const std::string& broken() const { return broken_; }

 private:
  bool Expect(bool holds, std::string_view what) {
    if (!holds && broken_.empty()) {
      broken_ = what;
    }
    return holds;
  }

  void CheckNames() {
    names_of_.assign(inodes_.size(), 0);
    subdirectories_.assign(inodes_.size(), 0);
    for (uint32_t number = 0; number < inodes_.size(); ++number) {
      const auto& inode = inodes_[number];
      Expect(S_ISDIR(inode.mode) || inode.children.empty(), "only directories have children");
      for (size_t i = 0; i < inode.children.size(); ++i) {
        const auto& child = inode.children[i];
        Expect(!child.name.empty() && child.name.size() <= 255 && child.name != "." &&
                   child.name != ".." && child.name.find('/') == std::string::npos &&
                   child.name.find('\0') == std::string::npos,
               "a name is one component");
        Expect(!child.name.starts_with(".wh."), "no whiteout shows");
        Expect(i == 0 || inode.children[i - 1].name < child.name, "children are sorted and unique");
        if (!Expect(child.inode > 0 && child.inode < inodes_.size(), "a child exists")) {
          return;
        }
        const auto& target = inodes_[child.inode];
        Expect(number != 0 || !S_ISREG(target.mode) ||
                   (child.name != estargz::kTocName && child.name != estargz::kPrefetchLandmark &&
                    child.name != estargz::kNoPrefetchLandmark),
               "landmarks and the TOC are hidden in the root");
        ++names_of_[child.inode];
        if (S_ISDIR(target.mode)) {
          ++subdirectories_[number];
          Expect(target.parent == number, "a directory knows its parent");
          // Numbers grow downwards, so a directory cannot be above itself.
          Expect(child.inode > number, "acyclic");
        }
      }
    }
  }

  void CheckLinks() {
    if (!broken_.empty()) {
      return;
    }
    bool has_xattrs = false;
    Expect(inodes_[0].parent == 0 && names_of_[0] == 0, "the root is its own parent");
    for (uint32_t number = 0; number < inodes_.size(); ++number) {
      const auto& inode = inodes_[number];
      const bool directory = S_ISDIR(inode.mode);
      Expect(number == 0 || names_of_[number] > 0, "every inode is reachable");
      Expect(!directory || number == 0 || names_of_[number] == 1, "a directory has one name");
      Expect(inode.nlink == (directory ? 2 + subdirectories_[number] : names_of_[number]), "nlink");
      Expect((inode.mode & ~(S_IFMT | 07777U)) == 0, "mode");
      Expect(S_ISLNK(inode.mode) == !inode.symlink_target.empty(), "only symlinks have a target");
      Expect(!S_ISLNK(inode.mode) || inode.size_bytes == inode.symlink_target.size(), "link size");
      Expect(S_ISREG(inode.mode) || S_ISLNK(inode.mode) || inode.size_bytes == 0, "no size");
      Expect(S_ISCHR(inode.mode) || S_ISBLK(inode.mode) ||
                 (inode.device_major == 0 && inode.device_minor == 0),
             "only devices have a number");
      has_xattrs = has_xattrs || !inode.xattrs.empty();
      CheckXattrs(inode);
    }
    Expect(has_xattrs == tree_.has_xattrs(), "has_xattrs");
  }

  void CheckXattrs(const estargz::Inode& inode) {
    for (size_t i = 0; i < inode.xattrs.size(); ++i) {
      const std::string& name = inode.xattrs[i].name;
      Expect(i == 0 || inode.xattrs[i - 1].name < name, "attributes are sorted and unique");
      Expect(!name.starts_with("user.overlay."), "no forged attribute");
      Expect(!name.starts_with("trusted.overlay.") ||
                 (name == "trusted.overlay.opaque" && S_ISDIR(inode.mode) &&
                  AsText(inode.xattrs[i].value) == "y"),
             "no forged overlay attribute");
    }
  }

  void CheckChunks() {
    std::vector<uint8_t> used(tree_.chunks().size());
    for (const auto& inode : inodes_) {
      Expect(S_ISREG(inode.mode) || inode.chunk_count == 0, "only files have chunks");
      if (!Expect(static_cast<uint64_t>(inode.first_chunk) + inode.chunk_count <= used.size(),
                  "chunks exist")) {
        return;
      }
      uint64_t file_offset = 0;
      for (uint32_t i = inode.first_chunk; i < inode.first_chunk + inode.chunk_count; ++i) {
        const auto& chunk = tree_.chunks()[i];
        Expect(chunk.file_offset == file_offset && chunk.size_bytes > 0, "chunks are contiguous");
        file_offset += chunk.size_bytes;
        Expect(used[i]++ == 0, "a chunk has one file");
      }
      Expect(!S_ISREG(inode.mode) || file_offset == inode.size_bytes, "chunks cover their file");
    }
    uint64_t end = 0;
    const estargz::Chunk* before = nullptr;
    for (size_t i = 0; i < used.size(); ++i) {
      const auto& chunk = tree_.chunks()[i];
      Expect(used[i] == 1, "every chunk has a file");
      Expect(!chunk.digest.empty() || chunk.is_hole, "every chunk has a digest");
      if (chunk.is_hole) {
        Expect(chunk.blob_size == 0, "nothing is read for a hole");
        continue;
      }
      Expect(chunk.blob_offset < payload_end_ && chunk.blob_size > 0 &&
                 chunk.blob_size <= payload_end_ - chunk.blob_offset,
             "chunks lie in the payload");
      if (before != nullptr && chunk.blob_offset == before->blob_offset) {
        Expect(chunk.blob_size == before->blob_size &&
                   chunk.inner_offset >= before->inner_offset + before->size_bytes,
               "chunks of one member lie one behind the other");
      } else {
        Expect(chunk.blob_offset >= end, "members do not overlap");
      }
      end = chunk.blob_offset + chunk.blob_size;
      before = &chunk;
    }
    Expect(!tree_.prefetch_end() || (*tree_.prefetch_end() < payload_end_ && !tree_.no_prefetch()),
           "the landmark lies in the payload");
  }

  const estargz::LayerTree& tree_;
  const std::vector<estargz::Inode>& inodes_;
  const uint64_t payload_end_;
  std::vector<uint32_t> names_of_;
  std::vector<uint32_t> subdirectories_;
  std::string broken_;
};

}  // namespace starling::testing_support
