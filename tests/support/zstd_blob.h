/// zstd frames and zstd:chunked layers for tests, laid out as their two writers do.
#pragma once

#include <fmt/format.h>
#include <zstd.h>

#include <cstdlib>
#include <string>
#include <string_view>
#include <vector>

#include "base/bytes.h"
#include "oci/digest.h"
#include "tests/support/lazy_image.h"

namespace starling::testing_support {

/// One zstd frame that decompresses to `content`.
inline std::string Zstd(std::string_view content, int level = 3) {
  std::string frame(ZSTD_compressBound(content.size()), '\0');
  const size_t size =
      ZSTD_compress(frame.data(), frame.size(), content.data(), content.size(), level);
  if (ZSTD_isError(size) != 0) {
    std::abort();
  }
  frame.resize(size);
  return frame;
}

inline std::string LittleEndian(uint64_t value, size_t bytes = 8) {
  std::string text;
  for (size_t i = 0; i < bytes; ++i) {
    text += static_cast<char>(value >> (8 * i) & 0xff);
  }
  return text;
}

/// A frame that decoders pass over.
inline std::string SkippableFrame(std::string_view payload) {
  return "\x50\x2a\x4d\x18" + LittleEndian(payload.size(), 4) + std::string(payload);
}

enum class ZstdDialect { kStargz, kOldContainers, kContainers };

/// The numbers of a footer and its magic, in a skippable frame.
inline std::string ZstdFooter(uint64_t toc_offset, uint64_t toc_bytes, uint64_t json_bytes,
                              ZstdDialect dialect, uint64_t type = 1) {
  std::string payload = LittleEndian(toc_offset) + LittleEndian(toc_bytes) +
                        LittleEndian(json_bytes) + LittleEndian(type);
  if (dialect == ZstdDialect::kContainers) {
    payload += LittleEndian(toc_offset + toc_bytes + 8) + LittleEndian(10) + LittleEndian(100);
  }
  return SkippableFrame(payload + (dialect == ZstdDialect::kContainers ? "GNUlInUx" : "GnUlInUx"));
}

struct ZstdPart {
  std::string content;
  bool is_hole = false;
};
struct ZstdFile {
  std::string name;
  std::vector<ZstdPart> parts;
};

/// A layer of regular files. The digest that its manifest would name is of the JSON in stargz'
/// dialect, of the compressed TOC in the others.
inline LazyLayerBlob MakeZstdLayer(const std::vector<ZstdFile>& files, ZstdDialect dialect) {
  std::string blob = Zstd(std::string(512, 'h'));
  std::string json = R"({"version":1,"entries":[)";
  for (const ZstdFile& file : files) {
    std::string content;
    for (const ZstdPart& part : file.parts) {
      content += part.content;
    }
    uint64_t chunk_offset = 0;
    for (const ZstdPart& part : file.parts) {
      json += json.back() == '[' ? "" : ",";
      json +=
          chunk_offset == 0
              ? fmt::format(R"({{"type":"reg","name":"{}","mode":420,"size":{},"digest":"{}",)",
                            file.name, content.size(), oci::Digest::Of(AsBytes(content)).ToString())
              : fmt::format(R"({{"type":"chunk","name":"{}","chunkOffset":{},)", file.name,
                            chunk_offset);
      json += fmt::format(R"("offset":{},"chunkSize":{},"chunkDigest":"{}"{}}})", blob.size(),
                          part.content.size(), oci::Digest::Of(AsBytes(part.content)).ToString(),
                          part.is_hole ? R"(,"chunkType":"zeros")" : "");
      blob += Zstd(part.content);
      chunk_offset += part.content.size();
    }
    blob += Zstd(std::string(512, 'h'));  // what the tar has between two files
  }
  json += R"(],"tarSplitDigest":"sha256:)" + std::string(64, '5') + R"("})";
  const std::string toc = Zstd(json);
  const uint64_t toc_offset = blob.size() + 8;
  blob += SkippableFrame(toc);
  if (dialect == ZstdDialect::kContainers) {
    blob += SkippableFrame("tar-split.");
  }
  blob += ZstdFooter(toc_offset, toc.size(), json.size(), dialect);
  return {.blob = ToBytes(blob),
          .digest = oci::Digest::Of(AsBytes(blob)),
          .toc = oci::Digest::Of(AsBytes(dialect == ZstdDialect::kStargz ? json : toc))};
}

}  // namespace starling::testing_support
