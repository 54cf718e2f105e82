/// The kernel's EROFS on ordinary files: needs no block device and no loop.
#pragma once

#include <cstdint>
#include <filesystem>
#include <vector>

#include "base/status.h"
#include "base/unique_fd.h"

namespace starling::mount {

/// An EROFS image in several files.
struct ErofsImage {
  std::filesystem::path index;              // the metadata
  std::vector<std::filesystem::path> data;  // the data devices that it names, in their order
};

struct ErofsOptions {
  uint32_t read_ahead_kib = 128;
  /// What the kernel reads of the data device: exactly what it needs for one file, and kept as the
  /// file's pages alone; or also what lies near it, and kept a second time as the device's pages.
  enum class DeviceReads { kExact, kCached } device_reads = DeviceReads::kCached;
};

/// A read-only mount of `image` that no path leads to yet; it lasts as long as the descriptor.
/// The kernel opens the files now and keeps them open. Calls at the same time, or another
/// process's, may leave read-ahead at the kernel's default.
/// Errors: kUnimplemented for a kernel that cannot do this; else the kernel's own, with what it
/// says about the reason.
StatusOr<UniqueFd> MakeErofsMount(const ErofsImage& image, const ErofsOptions& options);

/// Shows `mount` at the existing `directory`.
Status AttachMount(int mount, const std::filesystem::path& directory);
/// Puts `mount` in the place of the one at `directory`, without a moment at which nothing is there.
/// Whoever uses the old one goes on with it. kUnimplemented when the kernel cannot: then nothing
/// has changed.
Status ReplaceMount(int mount, const std::filesystem::path& directory);
/// Takes the topmost mount at `directory` out of view; whoever uses it goes on with it.
Status DetachMount(const std::filesystem::path& directory);
/// Takes away all mounts below `directory`, such as a killed process left.
Status DetachMountsBelow(const std::filesystem::path& directory);

}  // namespace starling::mount
