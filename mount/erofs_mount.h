/// The kernel's EROFS on ordinary files: needs no block device and no loop.
#pragma once

#include <filesystem>

#include "base/status.h"
#include "base/unique_fd.h"

namespace starling::mount {

/// An EROFS image in two files.
struct ErofsImage {
  std::filesystem::path index;  // the metadata
  std::filesystem::path data;   // the one data device that it names
};

/// A read-only mount of `image` that no path leads to yet; it lasts as long as the descriptor.
/// The kernel opens both files now and keeps them open.
/// Errors: kUnimplemented for a kernel that cannot do this; kInvalidArgument for a path of more
/// than 255 bytes; else the kernel's own, with what it says about the reason.
StatusOr<UniqueFd> MakeErofsMount(const ErofsImage& image);

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
