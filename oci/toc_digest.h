/// What in a manifest vouches for the table of contents (TOC) of a layer.
#pragma once

#include "base/status.h"
#include "oci/descriptor.h"
#include "oci/digest.h"

namespace starling::oci {

enum class TocDigestOf { kJson, kCompressed };

struct TocDigest {
  Digest digest;
  TocDigestOf of = TocDigestOf::kJson;

  friend bool operator==(const TocDigest&, const TocDigest&) = default;
};

/// A label of snapshots with the digest of a compressed TOC. containerd hands annotations to
/// snapshotters when their names start with "containerd.io/snapshot/", which those of
/// containers/storage do not, so that our client translates them.
inline constexpr std::string_view kCompressedTocLabel =
    "containerd.io/snapshot/starling/toc.compressed-digest";

/// The digest that the annotations (or labels) of a layer promise for its TOC. That of the JSON
/// counts first: containerd passes it on by itself. Errors: kNotFound without one; kInvalidArgument
/// or kUnimplemented for one that cannot be used; each says why the layer cannot be lazy and, if it
/// can be helped, how.
StatusOr<TocDigest> FindTocDigest(const Annotations& annotations);

}  // namespace starling::oci
