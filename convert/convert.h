#pragma once

#include <filesystem>
#include <map>
#include <string>
#include <vector>

#include "base/progress.h"
#include "estargz/writer.h"
#include "oci/image_store.h"

namespace starling::convert {

struct ConvertOptions {
  estargz::WriteOptions layer;
  /// What is known of a layer's files: in the place of what `layer` says of those.
  struct LayerFiles {
    std::vector<std::string> prioritized;
    std::map<std::string, uint64_t> chunk_size_bytes_of;
  };
  /// By the digest that the layer has in the source.
  std::map<oci::Digest, LayerFiles> layer_files;
  /// Empty: every platform of an index. Otherwise only these, and kNotFound if one is missing.
  std::vector<oci::Platform> platforms;
  /// Where finished layers wait to be sent, in a private directory that is always removed. Made
  /// when missing; empty is the system's directory for temporary files.
  std::filesystem::path spool_directory;
  /// Write again layers that have the format already.
  bool force = false;
};

struct ConvertedLayer {
  oci::Descriptor from;
  oci::Descriptor to;
  bool reused = false;  // had the format already
};

struct ConvertReport {
  oci::Digest target;  // of the manifest or index written
  std::vector<ConvertedLayer> layers;
};

/// Writes `source` to `destination` with every layer in the format of the options: OCI media types,
/// the format's annotations, diff IDs and digests rewritten in config, manifest and index. What
/// needs no change (an image all of whose layers have the format, an artifact in an index) keeps
/// its bytes and digest. Attestations are left out of an index whose images change: they name the
/// digests of the images before. A layer shared by several images is converted once. On an error
/// the destination's name stands for what it stood for before. Errors: kUnimplemented for layers
/// that are not distributed with their image or are no tar; kFailedPrecondition when the name
/// stands for something that is no image; kDataLoss for content that is not its digest's.
StatusOr<ConvertReport> ConvertImage(oci::ImageSource& source, oci::ImageDestination& destination,
                                     const ConvertOptions& options, Progress& progress);

}  // namespace starling::convert
