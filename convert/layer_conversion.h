#pragma once

#include <filesystem>

#include "base/progress.h"
#include "estargz/writer.h"
#include "oci/image_store.h"

namespace starling::convert {

/// Streams the layer `from` of `source` through the writer of lazy layers into the file `spool`,
/// which is made anew. The stored blob's digest is checked before this returns success. Blocks; the
/// download runs on a thread of its own meanwhile. Progress advances by bytes of the stored blob,
/// in the part `part`.
StatusOr<estargz::WrittenLayer> ConvertLayer(oci::ImageSource& source, const oci::Descriptor& from,
                                             const std::filesystem::path& spool,
                                             const estargz::WriteOptions& options,
                                             Progress& progress, const std::string& part);

/// The OCI type of layers in `format`.
std::string_view MediaTypeOf(estargz::WriteFormat format);

/// Describes what ConvertLayer wrote: the OCI type, the annotations of `from` but those that speak
/// of its former compression, and what the format's readers look for. containers/storage refuses a
/// layer that names the digest of a TOC in eStargz' way, too, so that each has its own only.
oci::Descriptor DescribeConverted(const oci::Descriptor& from,
                                  const estargz::WrittenLayer& written);

/// Whether the layer can be mounted lazily as it is and has the format: its TOC digest is the one
/// that the format has, and it ends in the format's footer. Costs one small request when there is
/// such an annotation, else none.
StatusOr<bool> HasFormat(oci::ImageSource& source, const oci::Descriptor& layer,
                         estargz::WriteFormat format);

}  // namespace starling::convert
