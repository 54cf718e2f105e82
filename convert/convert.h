#pragma once

#include <filesystem>
#include <vector>

#include "base/progress.h"
#include "estargz/writer.h"
#include "oci/image_store.h"

namespace starling::convert {

struct ConvertOptions {
  estargz::WriteOptions layer;
  /// Empty: every platform of an index. Otherwise only these.
  std::vector<oci::Platform> platforms;
  /// Where finished layers wait to be sent. Private to the call.
  std::filesystem::path spool_directory;
  /// Write again layers that are eStargz already.
  bool force = false;
};

struct ConvertedLayer {
  oci::Descriptor from;
  oci::Descriptor to;
  bool reused = false;  // was eStargz already
};

struct ConvertReport {
  oci::Digest target;  // of the manifest or index written
  std::vector<ConvertedLayer> layers;
};

/// Writes `source` to `destination` with every layer as eStargz: OCI media types, TOC digest and size
/// annotations, diff IDs and digests rewritten in config, manifest and index.
/// On an error the destination's name stands for what it stood for before.
StatusOr<ConvertReport> ConvertImage(oci::ImageSource& source, oci::ImageDestination& destination,
                                     const ConvertOptions& options, Progress& progress);

}  // namespace starling::convert
