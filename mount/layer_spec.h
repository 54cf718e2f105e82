#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "oci/digest.h"
#include "oci/reference.h"
#include "oci/toc_digest.h"
#include "store/layer_store.h"

namespace starling::mount {

/// Who reads a layer. What no step of a build reads is not fetched.
enum class Reader { kContainer, kBuild };

/// What a layer is and where its bytes come from.
struct LayerSpec {
  std::string image;  // as the source factory understands it
  oci::Digest layer;  // of the blob
  /// Of its TOC, which then lets it be read lazily; the layer's own digest for a plain layer.
  oci::Digest toc;
  oci::TocDigestOf toc_of = oci::TocDigestOf::kJson;  // what `toc` is the digest of
  uint64_t size_bytes = 0;                            // of the blob; 0 when unknown
  /// Of the image's manifest, when it is known: its access profile goes by it.
  std::optional<oci::Digest> manifest;
  /// The chain ID of the layer with those below it, which its diffID must lead to, and theirs, when
  /// there are some. Without the first, the image's configuration says it.
  std::optional<oci::Digest> chain;
  std::optional<oci::Digest> parent_chain;
  /// How much of the blob's front the client asks to prefetch where no landmark says it.
  std::optional<uint64_t> prefetch_bytes;
  /// This layer and those above it in its image, as far as the client names them.
  std::vector<oci::Digest> image_layers;
  /// Those of them that can be lazy, with the digests of their TOCs' JSON, when the client names
  /// them: then the manifest is not asked for.
  std::vector<std::pair<oci::Digest, oci::Digest>> lazy_layers;
  Reader reader = Reader::kContainer;

  /// Whose link the bytes come over: images of one registry share it.
  std::string host() const {
    const StatusOr<oci::Reference> reference = oci::Reference::Parse(image);
    return reference.ok() ? std::string(reference->domain()) : image;
  }
  store::LayerKey key() const { return {.layer = layer, .toc = toc}; }
};

}  // namespace starling::mount
