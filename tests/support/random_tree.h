/// A made-up file tree with everything that a layer can hold, as model for index tests.
#pragma once

#include <sys/stat.h>

#include <cstdint>
#include <map>
#include <random>
#include <string>
#include <vector>

#include "erofs/image_writer.h"

namespace starling::testing_support {

struct TreeInode {
  uint32_t mode = S_IFREG | 0644;
  uint32_t uid = 0;
  uint32_t gid = 0;
  uint32_t nlink = 1;
  uint64_t size_bytes = 0;
  int64_t modified_seconds = 0;
  uint32_t modified_nanoseconds = 0;
  uint32_t device_major = 0;
  uint32_t device_minor = 0;
  uint32_t parent = 0;
  std::string symlink_target;
  std::map<std::string, std::string> xattrs;
  std::map<std::string, uint32_t> children;  // std::string compares bytes, as the format does
  uint64_t data_address = 0;

  uint32_t type() const { return mode & S_IFMT; }
};

/// Inode 0 is the root. File contents are slices of one data device.
class Tree {
 public:
  Tree() { inodes_.push_back({.mode = S_IFDIR | 0755, .nlink = 2}); }

  std::vector<TreeInode>& inodes() { return inodes_; }
  const std::vector<TreeInode>& inodes() const { return inodes_; }
  uint64_t data_bytes() const { return data_bytes_; }

  /// Adds `inode` under `name`; a file's content goes behind what is there.
  uint32_t Add(uint32_t parent, const std::string& name, TreeInode inode) {
    const auto number = static_cast<uint32_t>(inodes_.size());
    inode.parent = parent;
    if (inode.type() == S_IFDIR) {
      inode.nlink = 2;
      ++inodes_[parent].nlink;
    } else if (inode.type() == S_IFREG && inode.size_bytes > 0) {
      inode.data_address = data_bytes_;
      const uint64_t blocks = (inode.size_bytes + erofs::kBlockBytes - 1) / erofs::kBlockBytes;
      data_bytes_ += blocks * erofs::kBlockBytes;
    }
    inodes_.push_back(std::move(inode));
    inodes_[parent].children[name] = number;
    return number;
  }
  void Link(uint32_t parent, const std::string& name, uint32_t target) {
    inodes_[parent].children[name] = target;
    ++inodes_[target].nlink;
  }

  /// The whole data device: pseudo-random, a pure function of its size.
  Bytes Data() const {
    Bytes data(data_bytes_);
    std::mt19937_64 random(data_bytes_);
    for (std::byte& byte : data) {
      byte = static_cast<std::byte>(random());
    }
    return data;
  }

  StatusOr<Bytes> Image() const {
    std::vector<std::vector<erofs::XattrSpec>> xattrs(inodes_.size());
    std::vector<std::vector<erofs::ChildSpec>> children(inodes_.size());
    std::vector<erofs::InodeSpec> specs;
    for (size_t number = 0; number < inodes_.size(); ++number) {
      const TreeInode& inode = inodes_[number];
      for (const auto& [name, value] : inode.xattrs) {
        xattrs[number].push_back({.name = name, .value = AsBytes(value)});
      }
      for (const auto& [name, child] : inode.children) {
        children[number].push_back({.name = name, .inode = child});
      }
      specs.push_back({.mode = inode.mode,
                       .uid = inode.uid,
                       .gid = inode.gid,
                       .nlink = inode.nlink,
                       .size_bytes = inode.size_bytes,
                       .modified_seconds = inode.modified_seconds,
                       .modified_nanoseconds = inode.modified_nanoseconds,
                       .device_major = inode.device_major,
                       .device_minor = inode.device_minor,
                       .parent = inode.parent,
                       .symlink_target = inode.symlink_target,
                       .xattrs = xattrs[number],
                       .children = children[number],
                       .data_address = inode.data_address});
    }
    return erofs::WriteImage(specs, data_bytes_);
  }

 private:
  std::vector<TreeInode> inodes_;
  uint64_t data_bytes_ = 0;
};

/// Trees of `seed`, small or with large directories, names that sort around "." and "..", and
/// xattrs that span blocks.
class TreeGenerator {
 public:
  /// kFew: most names are those of other trees, too, as in the layers of one image.
  enum class Names { kAny, kFew };
  explicit TreeGenerator(uint64_t seed, Names names = Names::kAny) : random_(seed), names_(names) {}

  Tree Make(size_t inodes) {
    Tree tree;
    std::vector<uint32_t> directories = {0};
    Decorate(tree.inodes()[0]);
    for (size_t i = 1; i < inodes; ++i) {
      // Preferring early directories makes some of them large.
      const uint32_t parent = directories[Below(Below(directories.size()) + 1)];
      const std::string name = NewName(tree.inodes()[parent]);
      if (Below(12) == 0 && tree.inodes().size() > 1) {
        const auto target = static_cast<uint32_t>(1 + Below(tree.inodes().size() - 1));
        if (tree.inodes()[target].type() != S_IFDIR) {
          tree.Link(parent, name, target);
          continue;
        }
      }
      const uint32_t number = tree.Add(parent, name, NewInode());
      if (tree.inodes()[number].type() == S_IFDIR) {
        directories.push_back(number);
      }
    }
    return tree;
  }

 private:
  uint64_t Below(uint64_t bound) { return random_() % bound; }

  std::string Text(size_t length, std::string_view alphabet) {
    std::string text;
    for (size_t i = 0; i < length; ++i) {
      text += alphabet[Below(alphabet.size())];
    }
    return text;
  }

  std::string NewName(const TreeInode& directory) {
    for (int tries = 0; names_ == Names::kFew && tries < 8; ++tries) {
      std::string name = Text(1, "!-AZaz");
      if (!directory.children.contains(name)) {
        return name;
      }
    }
    for (;;) {
      static constexpr std::string_view kNameBytes = "!-.09AZaz\x01\x7f\xc3\xa9\xff";
      const size_t length = Below(20) == 0 ? 1 + Below(255) : 1 + Below(12);
      std::string name = Text(length, kNameBytes);
      if (name != "." && name != ".." && !directory.children.contains(name)) {
        return name;
      }
    }
  }

  void Decorate(TreeInode& inode) {
    inode.uid = static_cast<uint32_t>(Below(4) == 0 ? random_() % 0xFFFFFFFE : Below(3));
    inode.gid = static_cast<uint32_t>(Below(4) == 0 ? random_() % 0xFFFFFFFE : Below(3));
    inode.modified_seconds =
        static_cast<int64_t>(Below(4'000'000'000)) - (Below(10) == 0 ? 3'000'000'000 : 0);
    inode.modified_nanoseconds = static_cast<uint32_t>(Below(1'000'000'000));
    inode.mode |= static_cast<uint32_t>(Below(010000));
    if (Below(4) != 0) {
      return;
    }
    const bool special = inode.type() != S_IFREG && inode.type() != S_IFDIR;
    for (uint64_t count = Below(4); count > 0; --count) {
      // The kernel gives user xattrs to files and directories only.
      const std::string prefix = special || Below(2) == 0 ? "trusted." : "user.";
      const size_t length = Below(10) == 0 ? Below(20000) : Below(40);
      inode.xattrs[prefix + Text(1 + Below(Below(5) == 0 ? 200 : 8), "abcxyz.")] =
          Text(length, std::string_view("ab\0\xff", 4));
    }
    if (inode.type() == S_IFDIR && Below(3) == 0) {
      inode.xattrs["trusted.overlay.opaque"] = "y";
    }
  }

  TreeInode NewInode() {
    TreeInode inode;
    switch (Below(12)) {
      case 0:
      case 1:
        inode.mode = S_IFDIR;
        break;
      case 2:
        inode.mode = S_IFLNK;
        inode.symlink_target = Text(1 + Below(Below(4) == 0 ? 4095 : 40), "/.abcdefgh");
        break;
      case 3:
        inode.mode = Below(2) == 0 ? S_IFCHR : S_IFBLK;
        inode.device_major = static_cast<uint32_t>(Below(4096));
        inode.device_minor = static_cast<uint32_t>(Below(1 << 20));
        break;
      case 4:
        inode.mode = Below(2) == 0 ? S_IFIFO : S_IFSOCK;
        break;
      case 5:  // a whiteout
        inode.mode = S_IFCHR;
        break;
      default:
        inode.mode = S_IFREG;
        inode.size_bytes = Below(3) == 0 ? Below(3) * 4096 : Below(20000);
    }
    Decorate(inode);
    if (inode.type() == S_IFLNK) {
      inode.mode = S_IFLNK | 0777;
    }
    return inode;
  }

  std::mt19937_64 random_;
  const Names names_;
};

}  // namespace starling::testing_support
