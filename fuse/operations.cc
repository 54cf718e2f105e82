#include "fuse/operations.h"

#include <sys/stat.h>

#include <algorithm>
#include <cerrno>
#include <charconv>
#include <optional>

#include "base/clock.h"
#include "base/log.h"
#include "base/repeat_limit.h"
#include "fuse/errno_map.h"

namespace starling::fuse {
namespace {

using layer::LazyLayer;

/// The cookie after "..": a layer's own is this plus its number.
constexpr uint64_t kFirstLayerCookie = 2;

constexpr size_t kProbeBytes = 4096;

Node RootNode() { return {.id = kRootNode, .attributes = {.mode = S_IFDIR | 0755, .nlink = 2}}; }

Node ProbeNode() {
  return {.id = kProbeNode,
          .attributes = {.mode = S_IFREG | 0400, .nlink = 1, .size_bytes = kProbeBytes}};
}

/// A layer's data device: its address space is the file's.
StatusOr<erofs::Attributes> DeviceAttributes(const LazyLayer& layer) {
  return erofs::Attributes{.mode = S_IFREG | 0400,
                           .nlink = 1,
                           .size_bytes = layer.index().data_device_bytes(),
                           .data_address = 0};
}

/// The edge at which failures of layers are told, of many like ones the first in a minute; below it
/// they are only returned.
void Fail(const LazyLayer& layer, NodeId node, std::string_view what, const Status& status,
          Reply& reply) {
  static RepeatLimit limit(std::chrono::minutes(1));
  const std::string digest = layer.key().layer.ToString();
  const auto held_back = limit.Admit(
      fmt::format("{} {} {}", digest, what, static_cast<int>(status.code())), SystemClock().Now());
  if (held_back) {
    log::Error(what, {{"layer", digest},
                      {"node", std::to_string(NidOf(node))},
                      {"error", Describe(status)},
                      {"like-it-before", std::to_string(*held_back)}});
  }
  reply.Error(ErrnoOf(status.code()));
}

/// What was found in the layer's index, unless the disk did not give all of that.
template <typename T>
StatusOr<T> Trusted(const LazyLayer& layer, StatusOr<T> found) {
  RETURN_IF_ERROR(layer.CheckFiles());
  return found;
}

/// "17" but not "017", "+17" or "".
std::optional<uint64_t> ParseLayerNumber(std::string_view name) {
  uint64_t number = 0;
  const char* end = name.data() + name.size();
  const auto [parsed_to, error] = std::from_chars(name.data(), end, number);
  if (error != std::errc() || parsed_to != end || name.front() == '0') {
    return std::nullopt;
  }
  return number;
}

/// The node with its attributes; without them the request is answered.
std::optional<Node> StatOrAnswer(const LazyLayer& layer, NodeId node, std::string_view what,
                                 Reply& reply) {
  const auto attributes =
      Trusted(layer, IsDevice(node) ? DeviceAttributes(layer) : layer.index().Stat(NidOf(node)));
  if (!attributes.ok()) {
    Fail(layer, node, what, attributes.status(), reply);
    return std::nullopt;
  }
  return Node{.id = node, .attributes = *attributes};
}

void AnswerSized(ByteSpan value, size_t room_bytes, Reply& reply) {
  if (room_bytes == 0) {
    reply.XattrSize(value.size());
  } else if (value.size() > room_bytes) {
    reply.Error(ERANGE);
  } else {
    reply.Data(value);
  }
}

/// Memory for one answer, kept for the thread's next one.
std::span<std::byte> ThreadBuffer(size_t size_bytes) {
  thread_local std::unique_ptr<std::byte[]> memory;
  thread_local size_t capacity = 0;
  if (capacity < size_bytes) {
    memory = std::make_unique_for_overwrite<std::byte[]>(size_bytes);
    capacity = size_bytes;
  }
  return {memory.get(), size_bytes};
}

}  // namespace

std::shared_ptr<LazyLayer> Operations::FindOrAnswer(NodeId node, Reply& reply) const {
  std::shared_ptr<LazyLayer> layer = layers_.Find(LayerNumberOf(node));
  if (!layer) {
    reply.Error(ESTALE);
  }
  return layer;
}

ByteSpan ProbeContent() {
  static const Bytes content = [] {
    Bytes bytes(kProbeBytes);
    for (size_t i = 0; i < bytes.size(); ++i) {
      bytes[i] = static_cast<std::byte>(i * 7 + (i >> 8) + 1);
    }
    return bytes;
  }();
  return content;
}

void Operations::LookupInRoot(std::string_view name, Reply& reply) const {
  if (name == kProbeName) {
    reply.Entry(ProbeNode(), Lifetime::kNone);
    return;
  }
  const bool is_device = name.ends_with(kDeviceSuffix);
  if (is_device) {
    name.remove_suffix(kDeviceSuffix.size());
  }
  const std::optional<uint64_t> number = ParseLayerNumber(name);
  const auto layer = number ? layers_.Find(*number) : nullptr;
  if (!layer) {
    reply.NoEntry(Lifetime::kNone);
    return;
  }
  const NodeId id = MakeNodeId(*number, is_device ? kDeviceNid : layer->index().root());
  if (const auto node = StatOrAnswer(*layer, id, "the layer's root cannot be read", reply)) {
    reply.Entry(*node, Lifetime::kNone);
  }
}

void Operations::Lookup(NodeId directory, std::string_view name, Reply& reply) const {
  if (directory == kRootNode) {
    LookupInRoot(name, reply);
    return;
  }
  const auto layer = FindOrAnswer(directory, reply);
  if (!layer) {
    return;
  }
  const auto nid = Trusted(*layer, layer->index().Lookup(NidOf(directory), name));
  if (nid.status().code() == StatusCode::kNotFound) {
    reply.NoEntry(Lifetime::kForever);
    return;
  }
  if (!nid.ok()) {
    Fail(*layer, directory, "lookup failed", nid.status(), reply);
    return;
  }
  const NodeId id = MakeNodeId(LayerNumberOf(directory), *nid);
  if (const auto node = StatOrAnswer(*layer, id, "lookup failed", reply)) {
    reply.Entry(*node, Lifetime::kForever);
  }
}

void Operations::GetAttributes(NodeId node, Reply& reply) const {
  if (node == kRootNode) {
    reply.Attributes(RootNode(), Lifetime::kNone);
    return;
  }
  if (node == kProbeNode) {
    reply.Attributes(ProbeNode(), Lifetime::kForever);
    return;
  }
  const auto layer = FindOrAnswer(node, reply);
  if (!layer) {
    return;
  }
  if (const auto found = StatOrAnswer(*layer, node, "stat failed", reply)) {
    reply.Attributes(*found, Lifetime::kForever);
  }
}

void Operations::ReadLink(NodeId node, Reply& reply) const {
  const auto layer = FindOrAnswer(node, reply);
  if (!layer) {
    return;
  }
  auto target = layer->index().ReadLink(NidOf(node));
  // Copied before it is trusted: the kernel takes nothing from a mapping that has lost its file.
  const std::string copy(target.ok() ? *target : std::string_view());
  target = Trusted(*layer, std::move(target));
  if (!target.ok()) {
    Fail(*layer, node, "readlink failed", target.status(), reply);
    return;
  }
  reply.Link(copy);
}

void Operations::Read(NodeId node, uint64_t file_offset, uint64_t size_bytes, Reply& reply) const {
  if (node == kProbeNode) {
    const uint64_t begin = std::min<uint64_t>(file_offset, kProbeBytes);
    reply.Data(ProbeContent().subspan(begin, std::min(size_bytes, kProbeBytes - begin)));
    return;
  }
  const auto layer = FindOrAnswer(node, reply);
  if (!layer) {
    return;
  }
  const auto found = StatOrAnswer(*layer, node, "read failed", reply);
  if (!found) {
    return;
  }
  const erofs::Attributes& file = found->attributes;
  if (!S_ISREG(file.mode)) {
    reply.Error(EINVAL);
    return;
  }
  if (file_offset >= file.size_bytes) {
    reply.Data({});
    return;
  }
  ReadRange(layer, node,
            {.data_address = file.data_address + file_offset,
             .size_bytes = std::min(size_bytes, file.size_bytes - file_offset)},
            reply);
}

void Operations::ReadRange(const std::shared_ptr<LazyLayer>& layer, NodeId node,
                           layer::DataRange range, Reply& reply) const {
  const std::span<std::byte> buffer = ThreadBuffer(range.size_bytes);
  const StatusOr<bool> read = layer->ReadPresent(range.data_address, buffer);
  if (!read.ok()) {
    Fail(*layer, node, "read failed", read.status(), reply);
    return;
  }
  if (*read) {
    reply.Data(buffer);
    return;
  }
  // The device is as long as its blocks, the layer's data may end within the last one.
  const uint64_t asked_bytes = range.size_bytes;
  const pid_t asker = reply.Asker();
  range.size_bytes = std::min(asked_bytes, layer->chunks().data_size_bytes() - range.data_address);
  layer->Read(
      range, oci::FetchClass::kDemand,
      [layer, node, asked_bytes,
       deferred = std::shared_ptr<Reply>(reply.Defer())](StatusOr<Bytes> bytes) {
        if (!bytes.ok()) {
          Fail(*layer, node, "read failed", bytes.status(), *deferred);
          return;
        }
        bytes->resize(asked_bytes);
        deferred->Data(*bytes);
      },
      asker);
}

void Operations::ReadRoot(uint64_t cookie, Reply& reply) const {
  const std::string_view dots[] = {".", ".."};
  for (uint64_t i = cookie; i < kFirstLayerCookie; ++i) {
    if (!reply.AddEntry({.name = dots[i],
                         .node = RootNode(),
                         .next_cookie = i + 1,
                         .lifetime = Lifetime::kNone})) {
      reply.Directory();
      return;
    }
  }
  for (const uint64_t number : layers_.Numbers()) {
    const auto layer = layers_.Find(number);
    if (!layer || kFirstLayerCookie + number <= cookie) {
      continue;
    }
    const auto attributes = Trusted(*layer, layer->index().Stat(layer->index().root()));
    const std::string name = DirectoryNameOf(number);
    if (attributes.ok() &&
        !reply.AddEntry(
            {.name = name,
             .node = {.id = MakeNodeId(number, layer->index().root()), .attributes = *attributes},
             .next_cookie = kFirstLayerCookie + number,
             .lifetime = Lifetime::kNone})) {
      break;
    }
  }
  reply.Directory();
}

void Operations::ReadDirectory(NodeId directory, uint64_t cookie, Reply& reply) const {
  if (directory == kRootNode) {
    ReadRoot(cookie, reply);
    return;
  }
  const auto layer = FindOrAnswer(directory, reply);
  if (!layer) {
    return;
  }
  Status failure;
  const auto add = [&](const erofs::ImageReader::DirectoryEntry& entry) {
    const auto attributes = layer->index().Stat(entry.nid);
    if (!attributes.ok()) {
      failure = attributes.status();
      return false;
    }
    return reply.AddEntry(
        {.name = entry.name,
         .node = {.id = MakeNodeId(LayerNumberOf(directory), entry.nid), .attributes = *attributes},
         .next_cookie = entry.next_cookie});
  };
  failure.Update(layer->index().ReadDirectory(NidOf(directory), cookie, add));
  failure.Update(layer->CheckFiles());
  if (!failure.ok()) {
    Fail(*layer, directory, "readdir failed", failure, reply);
    return;
  }
  reply.Directory();
}

void Operations::GetXattr(NodeId node, std::string_view name, size_t room_bytes,
                          Reply& reply) const {
  if (xattrs_ == Xattrs::kNone) {
    reply.Error(ENOSYS);
    return;
  }
  if (node == kRootNode || node == kProbeNode || IsDevice(node)) {
    reply.Error(ENODATA);
    return;
  }
  const auto layer = FindOrAnswer(node, reply);
  if (!layer) {
    return;
  }
  auto value = layer->index().GetXattr(NidOf(node), name);
  const Bytes copy = value.ok() ? Bytes(value->begin(), value->end()) : Bytes();
  value = Trusted(*layer, std::move(value));
  if (value.status().code() == StatusCode::kNotFound) {
    reply.Error(ENODATA);
  } else if (!value.ok()) {
    Fail(*layer, node, "getxattr failed", value.status(), reply);
  } else {
    AnswerSized(copy, room_bytes, reply);
  }
}

void Operations::ListXattrs(NodeId node, size_t room_bytes, Reply& reply) const {
  // An empty list even where getxattr is not served: programs list seldom, and one that copies
  // files should see what it would see on any file system.
  if (xattrs_ == Xattrs::kNone || node == kRootNode || node == kProbeNode || IsDevice(node)) {
    AnswerSized({}, room_bytes, reply);
    return;
  }
  const auto layer = FindOrAnswer(node, reply);
  if (!layer) {
    return;
  }
  const auto names = Trusted(*layer, layer->index().ListXattrs(NidOf(node)));
  if (!names.ok()) {
    Fail(*layer, node, "listxattr failed", names.status(), reply);
    return;
  }
  std::string list;
  for (const std::string& name : *names) {
    list.append(name).push_back('\0');
  }
  AnswerSized(AsBytes(list), room_bytes, reply);
}

void Operations::GetSize(NodeId node, Reply& reply) const {
  FileSystemSize size;
  for (const uint64_t number : layers_.Numbers()) {
    const auto layer = layers_.Find(number);
    if (layer && (node == kRootNode || LayerNumberOf(node) == number)) {
      size.data_bytes += layer->index().data_device_bytes();
      size.inodes += layer->index().inode_count();
    }
  }
  reply.Size(size);
}

}  // namespace starling::fuse
