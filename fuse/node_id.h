/// How inodes of layers are named to the kernel.
///
/// A node id is a pure function of layer number and index: layer number << 40 | EROFS nid. So
/// nothing is remembered per lookup, FORGET needs no answer, and a server that is started again
/// knows every node that the kernel still uses. Files show it as st_ino too: unique over all layers
/// of a connection, and small enough that overlayfs finds bits to tell file systems apart (xino).
#pragma once

#include <cstdint>
#include <string>
#include <string_view>

#include "erofs/image_reader.h"

namespace starling::fuse {

using NodeId = uint64_t;

inline constexpr NodeId kRootNode = 1;  // of a mount; the layers are in it. Source: FUSE_ROOT_ID
inline constexpr NodeId kProbeNode = 2;
inline constexpr int kNidBits = 40;
inline constexpr uint64_t kMaxNid = (1ULL << kNidBits) - 1;
inline constexpr uint64_t kMaxLayerNumber = (1ULL << 23) - 1;

/// Stands for a layer's data device, as no inode has it.
inline constexpr erofs::Nid kDeviceNid = 1ULL << 39;

constexpr NodeId MakeNodeId(uint64_t layer_number, erofs::Nid nid) {
  return layer_number << kNidBits | nid;
}
/// 0 for the root of the mount.
constexpr uint64_t LayerNumberOf(NodeId node) { return node >> kNidBits; }
constexpr erofs::Nid NidOf(NodeId node) { return node & kMaxNid; }
constexpr bool IsDevice(NodeId node) { return NidOf(node) == kDeviceNid; }

/// The names of a layer's root directory and of its data device, in the root of the mount.
inline std::string DirectoryNameOf(uint64_t layer_number) { return std::to_string(layer_number); }
inline constexpr std::string_view kDeviceSuffix = ".data";
inline std::string DeviceNameOf(uint64_t layer_number) {
  return std::to_string(layer_number).append(kDeviceSuffix);
}

}  // namespace starling::fuse
