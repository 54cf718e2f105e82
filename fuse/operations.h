#pragma once

#include <memory>
#include <string_view>

#include "base/bytes.h"
#include "erofs/image_reader.h"
#include "fuse/layer_table.h"
#include "fuse/node_id.h"

namespace starling::fuse {

/// How long the kernel may believe an answer.
enum class Lifetime {
  kNone,     // in the root of a mount, where layers come and go
  kForever,  // inside a layer: its content never changes
};

/// A file in the root of every mount, which is in no list: one block that the kernel may read to
/// show whether it can use files of the mount as a data device.
inline constexpr std::string_view kProbeName = "probe";
ByteSpan ProbeContent();

struct Node {
  NodeId id = 0;
  erofs::Attributes attributes;
};

struct DirectoryEntry {
  std::string_view name;
  Node node;
  uint64_t next_cookie = 0;
  Lifetime lifetime = Lifetime::kForever;
};

struct FileSystemSize {
  uint64_t data_bytes = 0;
  uint64_t inodes = 0;
};

/// Where the answer to one request goes; exactly one answer is given. The kernel's side is in
/// session.cc. Threads: one at a time.
class Reply {
 public:
  virtual ~Reply() = default;
  /// The thread that asks, as this process names it; 0: unknown.
  virtual pid_t Asker() const { return 0; }
  virtual void Error(int error_number) = 0;
  virtual void Entry(const Node& node, Lifetime lifetime) = 0;
  /// There is no such name.
  virtual void NoEntry(Lifetime lifetime) = 0;
  virtual void Attributes(const Node& node, Lifetime lifetime) = 0;
  virtual void Link(std::string_view target) = 0;
  virtual void Data(ByteSpan bytes) = 0;
  virtual void XattrSize(size_t size_bytes) = 0;
  virtual void Size(const FileSystemSize& size) = 0;
  /// Adds to the directory's answer; false when it is full and `entry` was not added.
  virtual bool AddEntry(const DirectoryEntry& entry) = 0;
  /// Answers with what was added; nothing means the end.
  virtual void Directory() = 0;
  /// Moves the duty to answer to an object that may outlive the call and be used on any thread.
  virtual std::unique_ptr<Reply> Defer() = 0;
};

/// What the kernel may ask about layers, without the kernel: in the root of the mount, a directory
/// for each layer with its files, and its data device as one file, not listed, for who mounts the
/// layer's index himself. Held data is answered at once; a read
/// of absent data enlists itself with the layer and is answered from there. Threads: safe. Never
/// blocks but for the disk.
class Operations {
 public:
  enum class Xattrs { kNone, kServed };
  /// Borrows `layers`. With kNone, xattr calls answer ENOSYS, so that the kernel never asks again.
  Operations(const LayerTable& layers, Xattrs xattrs) : layers_(layers), xattrs_(xattrs) {}

  void Lookup(NodeId directory, std::string_view name, Reply& reply) const;
  void GetAttributes(NodeId node, Reply& reply) const;
  void ReadLink(NodeId node, Reply& reply) const;
  void Read(NodeId node, uint64_t file_offset, uint64_t size_bytes, Reply& reply) const;
  void ReadDirectory(NodeId directory, uint64_t cookie, Reply& reply) const;
  /// `room_bytes` 0 asks for the size alone.
  void GetXattr(NodeId node, std::string_view name, size_t room_bytes, Reply& reply) const;
  void ListXattrs(NodeId node, size_t room_bytes, Reply& reply) const;
  void GetSize(NodeId node, Reply& reply) const;

 private:
  /// The layer that `node` is in; null when it is not shown any more: then the request is answered.
  std::shared_ptr<layer::LazyLayer> FindOrAnswer(NodeId node, Reply& reply) const;
  void LookupInRoot(std::string_view name, Reply& reply) const;
  void ReadRange(const std::shared_ptr<layer::LazyLayer>& layer, NodeId node,
                 layer::DataRange range, Reply& reply) const;
  void ReadRoot(uint64_t cookie, Reply& reply) const;

  const LayerTable& layers_;
  const Xattrs xattrs_;
};

}  // namespace starling::fuse
