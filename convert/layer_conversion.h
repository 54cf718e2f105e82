#pragma once

#include <filesystem>

#include "base/progress.h"
#include "estargz/writer.h"
#include "oci/image_store.h"

namespace starling::convert {

/// Streams the layer `from` of `source` through the eStargz writer into the file `spool`, which is
/// made anew. The stored blob's digest is checked before this returns success. Blocks; the download
/// runs on a thread of its own meanwhile. Progress advances by bytes of the stored blob, in the
/// part `part`.
StatusOr<estargz::WrittenLayer> ConvertLayer(oci::ImageSource& source, const oci::Descriptor& from,
                                             const std::filesystem::path& spool,
                                             const estargz::WriteOptions& options,
                                             Progress& progress, const std::string& part);

/// Describes what ConvertLayer wrote: the OCI type, the annotations of `from` but those that speak
/// of its former compression, and the digests that make it lazy.
oci::Descriptor DescribeConverted(const oci::Descriptor& from,
                                  const estargz::WrittenLayer& written);

/// Whether the layer can be mounted lazily as it is: it names a TOC digest and ends in an eStargz
/// footer. Costs one small request when there is an annotation, else none.
StatusOr<bool> IsEstargz(oci::ImageSource& source, const oci::Descriptor& layer);

}  // namespace starling::convert
