#include "estargz/tar_split_writer.h"

#include <isa-l/crc64.h>

#include <array>

#include "base/hex.h"
#include "estargz/json_text.h"
#include "estargz/toc_writer.h"

namespace starling::estargz {
namespace {

/// Big endian, in base64.
std::string CrcText(uint64_t crc64) {
  std::array<std::byte, sizeof(crc64)> bytes{};
  for (size_t i = 0; i < bytes.size(); ++i) {
    bytes[i] = static_cast<std::byte>(crc64 >> (8 * (bytes.size() - 1 - i)) & 0xff);
  }
  return Base64Encode(bytes);
}

}  // namespace

uint64_t Crc64(uint64_t before, ByteSpan bytes) {
  return crc64_iso_refl(before, reinterpret_cast<const unsigned char*>(bytes.data()), bytes.size());
}

bool TarSplitWriter::CanDescribe(const TarEntry& entry) {
  return entry.type != TarType::kGlobalHeader && entry.go_reads_alike && IsUtf8(entry.name) &&
         IsUtf8(entry.link_name) && IsTimeOfJson(entry.modified_seconds) &&
         (!entry.accessed || IsTimeOfJson(entry.accessed->seconds)) &&
         (!entry.changed || IsTimeOfJson(entry.changed->seconds)) &&
         names_.insert(CleanName(entry.name)).second;
}

void TarSplitWriter::AppendSegment(ByteSpan bytes) {
  Bytes segment(padding_bytes_);
  segment.insert(segment.end(), bytes.begin(), bytes.end());
  line_ = fmt::format("{{\"type\":2,\"payload\":\"{}\",\"position\":{}}}\n", Base64Encode(segment),
                      position_++);
  stream_.Append(AsBytes(line_));
}

void TarSplitWriter::Add(const TarEntry& entry, uint64_t crc64) {
  if (!describable_ || !CanDescribe(entry)) {
    describable_ = false;
    return;
  }
  AppendSegment(entry.header);
  line_ = R"({"type":1,"name":)";
  AppendJsonText(line_, entry.name);
  if (entry.size_bytes > 0) {
    line_ += fmt::format(R"(,"size":{},"payload":"{}")", entry.size_bytes, CrcText(crc64));
  } else {
    line_ += R"(,"payload":null)";
  }
  line_ += fmt::format(",\"position\":{}}}\n", position_++);
  stream_.Append(AsBytes(line_));
  padding_bytes_ = TarPadding(entry.size_bytes);
}

std::optional<TarSplit> TarSplitWriter::Finish(ByteSpan end) {
  if (!describable_) {
    return std::nullopt;
  }
  AppendSegment(end);
  TarSplit result;
  result.frame = stream_.Finish();
  result.decompressed_bytes = stream_.decompressed_bytes();
  result.digest = oci::Digest::Of(result.frame);
  return result;
}

}  // namespace starling::estargz
