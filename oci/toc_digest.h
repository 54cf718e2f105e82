/// What in a manifest vouches for the table of contents (TOC) of a layer.
#pragma once

#include "base/status.h"
#include "oci/descriptor.h"
#include "oci/digest.h"

namespace starling::oci {

enum class TocDigestOf {
  kJson,
  kCompressed,
  kGzipIndex,  // the description of a plain gzip layer; no manifest promises it, the node trusts it
};

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

/// A plain layer (no lazy format, or nothing vouches for its TOC) is its own table of contents: it
/// goes by the digest of its blob where others have that of their TOC, which can never be equal.
inline bool IsPlain(const Digest& layer, const Digest& toc) { return layer == toc; }

}  // namespace starling::oci
