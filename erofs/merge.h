#pragma once

#include <span>

#include "base/bytes.h"
#include "base/status.h"
#include "erofs/image_reader.h"

namespace starling::erofs {

/// One image that shows what overlayfs shows of `layers`, bottom first: whiteouts (character
/// devices 0:0) and what they hide are not there, directories are united up to an opaque one
/// (trusted.overlay.opaque = "y", which is not kept) and have the topmost one's attributes, a file
/// replaces a directory and the reverse. Link counts are those of the names that are left. File
/// contents stay where they are: device i + 1 of the result is the data device of layers[i].
///
/// The layers are not trusted: memory and time are bounded by the sizes of their images.
/// Errors: kInvalidArgument without layers; kDataLoss for a damaged layer; kUnimplemented when one
/// uses a feature of overlayfs that has no place in one image (redirects, metadata-only copies:
/// all that has another xattr "trusted.overlay.*"); kResourceExhausted when a field overflows.
StatusOr<Bytes> MergeImages(std::span<const ImageReader> layers);

}  // namespace starling::erofs
