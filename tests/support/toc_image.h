/// Layers whose TOC is kept in another image, and that image.
#pragma once

#include <cstdlib>
#include <string>

#include "estargz/footer.h"
#include "tests/support/lazy_image.h"
#include "tests/support/memory_image.h"

namespace starling::testing_support {

/// Makes the eStargz `layer` one with an external TOC; returns the TOC's member.
inline Bytes MoveTocOut(LazyLayerBlob& layer) {
  const auto footer = estargz::ParseFooter(layer.blob, layer.blob.size());
  if (!footer.ok()) {
    std::abort();
  }
  const auto toc = layer.blob.begin() + static_cast<ptrdiff_t>(footer->toc_offset);
  Bytes member(toc, toc + static_cast<ptrdiff_t>(footer->toc_bytes));
  layer.blob.erase(toc, layer.blob.end());
  std::string external("\x1f\x8b\x08\x04\0\0\0\0\0\xff\x15\0SG\x11\0", 16);
  external += "STARGZEXTERNALTOC";
  external.append("\x01\0\0\xff\xff\0\0\0\0\0\0\0\0", 13);
  const ByteSpan bytes = AsBytes(external);
  layer.blob.insert(layer.blob.end(), bytes.begin(), bytes.end());
  layer.digest = oci::Digest::Of(layer.blob);
  return member;
}

/// Makes `source` an image with the TOC of `layer`, and with one of another layer in front.
inline void FillImageOfTocs(MemoryImageSource& source, const oci::Digest& layer, ByteSpan toc) {
  oci::Manifest manifest;
  manifest.media_type = oci::media_type::kOciManifest;
  manifest.config = source.Add(oci::media_type::kOciConfig, AsBytes("{}"));
  const std::string key(oci::annotation::kTocLayerDigest);
  manifest.layers = {source.Add(oci::media_type::kOciLayerGzip, AsBytes("another")),
                     source.Add(oci::media_type::kOciLayerGzip, toc)};
  manifest.layers[0].annotations[key] = oci::Digest::Of(AsBytes("another layer")).ToString();
  manifest.layers[1].annotations[key] = layer.ToString();
  source.SetTop(source.Add(manifest));
}

}  // namespace starling::testing_support
