// Property: a tar that WriteLayer takes becomes a blob whose footer and TOC our reader takes, with
// the digests that WriteLayer names; payloads never reach behind the input.
#include <algorithm>
#include <cstdlib>

#include "estargz/decompress.h"
#include "estargz/footer.h"
#include "estargz/layer_tree.h"
#include "estargz/tar.h"
#include "estargz/toc.h"
#include "estargz/writer.h"
#include "tests/support/tar_builder.h"

namespace {

using namespace starling;  // NOLINT: a whole program of one function

void Require(bool condition) {
  if (!condition) {
    std::abort();
  }
}

/// Reads entries with their content; false when the tar is refused.
bool ReadEntries(ByteSpan input) {
  SpanSource source(input);
  estargz::TarReader reader(source);
  uint64_t bytes = 0;
  for (;;) {
    const auto entry = reader.Next();
    if (!entry.ok()) {
      return false;
    }
    if (!*entry) {
      return true;
    }
    Require((*entry)->header.size() % estargz::kTarBlockBytes == 0);
    bytes += (*entry)->header.size();
    Bytes block(4096);
    for (uint64_t left = (*entry)->size_bytes; left > 0;) {
      const auto part = std::span(block).first(std::min<uint64_t>(left, block.size()));
      if (!reader.ReadPayload(part).ok()) {
        return false;
      }
      left -= part.size();
      bytes += part.size();
    }
    Require(bytes <= input.size());
  }
}

/// The input with right checksums in all that looks like a header, for mutations get none right.
Bytes Signed(ByteSpan input) {
  Bytes tar(input.begin(), input.end());
  for (size_t at = 0; at + estargz::kTarBlockBytes <= tar.size(); at += estargz::kTarBlockBytes) {
    const std::string_view block = AsText(ByteSpan(tar).subspan(at, estargz::kTarBlockBytes));
    if (block.substr(257, 5) == "ustar") {
      const std::string header = testing_support::TarBuilder::Sign(std::string(block));
      std::ranges::copy(AsBytes(header), tar.begin() + static_cast<ptrdiff_t>(at));
    }
  }
  return tar;
}

void CheckBlob(ByteSpan blob, const estargz::WrittenLayer& written) {
  Require(written.digest == oci::Digest::Of(blob) && written.size_bytes == blob.size());
  const auto footer = estargz::ParseFooter(
      blob.last(std::min<size_t>(blob.size(), estargz::kMaxFooterBytes)), blob.size());
  Require(footer.ok());
  const auto member =
      blob.subspan(footer->toc_offset, blob.size() - footer->size_bytes - footer->toc_offset);
  const auto json = estargz::ExtractToc(member);
  Require(json.ok() && json->digest == written.toc_digest);
  auto toc = estargz::Toc::Parse(json->json);
  Require(toc.ok());
  // What entries mean together may still be wrong, such as a link to nothing; a crash may not be.
  const auto tree = estargz::LayerTree::Build(*std::move(toc), footer->toc_offset);
  Require(tree.ok() || !tree.status().message().empty());
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  const Bytes signed_input = Signed(std::as_bytes(std::span(data, size)));
  const ByteSpan input = signed_input;
  // Decompression bombs are the caller's limit to set.
  SpanSource bomb_source(input);
  estargz::DecompressedTar tar(bomb_source);
  const auto plain = ReadAll(tar, 4 << 20);
  if (!plain.ok()) {
    return 0;
  }
  const bool accepted = ReadEntries(*plain);
  for (const bool reordered : {false, true}) {
    estargz::WriteOptions options{.chunk_size_bytes = 4096, .compression_level = 1, .threads = 1};
    if (reordered) {
      options.prioritized_files = {"a", "d/b"};
      options.shared_member_bytes = 8192;
    }
    SpanSource source(input);
    BytesSink blob;
    const auto written = estargz::WriteLayer(source, blob, options);
    Require(accepted || !written.ok());
    if (written.ok()) {
      CheckBlob(blob.bytes(), *written);
    }
  }
  return 0;
}
