// Property: reading a TOC never crashes, as JSON, as a gzip member or as zstd frames, and every
// tree that is accepted keeps all promises of LayerTree.
#include <cstdint>
#include <cstdio>
#include <cstdlib>

#include "estargz/layer_tree.h"
#include "tests/support/layer_tree_invariants.h"

namespace {

using namespace starling::estargz;

// Small, so that the limits are reached too.
constexpr TocLimits kLimits{.compressed_bytes = 1 << 20,
                            .json_bytes = 1 << 20,
                            .entries = 200,
                            .name_bytes = 300,
                            .component_bytes = 255,
                            .depth = 50,
                            .xattr_value_bytes = 64,
                            .xattrs_per_inode = 4};
constexpr uint64_t kPayloadEnd = 1 << 20;

void Check(starling::StatusOr<Toc> toc) {
  if (!toc.ok()) {
    return;
  }
  const auto tree = LayerTree::Build(*std::move(toc), kPayloadEnd, kLimits);
  if (!tree.ok()) {
    return;
  }
  const starling::testing_support::LayerTreeInvariants invariants(*tree, kPayloadEnd);
  if (!invariants.broken().empty()) {
    std::fprintf(stderr, "broken: %s\n", invariants.broken().c_str());
    std::abort();
  }
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  const auto bytes = std::as_bytes(std::span(data, size));
  Check(Toc::Parse(bytes, kLimits));
  if (const auto toc = ExtractToc(bytes, kLimits); toc.ok()) {
    Check(Toc::Parse(*toc, kLimits));
  }
  // The size that a footer would say, in front of the frames.
  constexpr size_t kSizeBytes = 2;
  if (size > kSizeBytes) {
    const auto json_bytes = static_cast<uint64_t>(data[0] | data[1] << 8);
    if (const auto toc = ExtractZstdToc(bytes.subspan(kSizeBytes), json_bytes, kLimits); toc.ok()) {
      Check(Toc::Parse(*toc, kLimits));
    }
  }
  return 0;
}
