#include "store/layer_record.h"

#include <nlohmann/json.hpp>

#include "store/presence_map.h"

namespace starling::store {
namespace {

using nlohmann::json;

constexpr uint64_t kRecordVersion = 1;
// What block numbers of 32 bits can reach.
constexpr uint64_t kMaxDataBytes = uint64_t{1} << 44;

Status Malformed(std::string_view what) {
  return MakeError(StatusCode::kDataLoss, fmt::format("layer.json: {}", what));
}

StatusOr<uint64_t> NumberAt(const json& object, const char* name) {
  const auto at = object.find(name);
  if (at == object.end() || !at->is_number_unsigned()) {
    return Malformed(fmt::format("{} is not a number", name));
  }
  return at->get<uint64_t>();
}

StatusOr<oci::Digest> DigestAt(const json& object, const char* name) {
  const auto at = object.find(name);
  if (at == object.end() || !at->is_string()) {
    return Malformed(fmt::format("{} is not a digest", name));
  }
  const auto digest = oci::Digest::Parse(at->get_ref<const std::string&>());
  if (!digest.ok()) {
    return Malformed(fmt::format("{}: {}", name, MessageOf(digest.status())));
  }
  return *digest;
}

StatusOr<FileRecord> FileAt(const json& object, const char* name) {
  const auto at = object.find(name);
  if (at == object.end() || !at->is_object() || at->size() != 2) {
    return Malformed(fmt::format("{} is not a file", name));
  }
  FileRecord file;
  ASSIGN_OR_RETURN(file.size_bytes, NumberAt(*at, "size_bytes"));
  ASSIGN_OR_RETURN(file.digest, DigestAt(*at, "digest"));
  return file;
}

json ToObject(const FileRecord& file) {
  return {{"size_bytes", file.size_bytes}, {"digest", file.digest.ToString()}};
}

}  // namespace

std::string LayerRecord::ToJson() const {
  const json object = {{"version", kRecordVersion},
                       {"layer", key.layer.ToString()},
                       {"toc", key.toc.ToString()},
                       {"blob_size_bytes", info.blob_size_bytes},
                       {"data_size_bytes", info.data_size_bytes},
                       {"chunk_count", info.chunk_count},
                       {"index", ToObject(index)},
                       {"chunks", ToObject(chunk_table)}};
  return object.dump(2) + "\n";
}

StatusOr<LayerRecord> LayerRecord::Parse(std::string_view text) {
  const json object = json::parse(text, nullptr, /*allow_exceptions=*/false);
  if (!object.is_object() || object.size() != 8) {
    return Malformed("not an object of eight members");
  }
  ASSIGN_OR_RETURN(const uint64_t version, NumberAt(object, "version"));
  if (version != kRecordVersion) {
    return Malformed(fmt::format("version {} is unknown", version));
  }
  LayerRecord record;
  ASSIGN_OR_RETURN(record.key.layer, DigestAt(object, "layer"));
  ASSIGN_OR_RETURN(record.key.toc, DigestAt(object, "toc"));
  ASSIGN_OR_RETURN(record.info.blob_size_bytes, NumberAt(object, "blob_size_bytes"));
  ASSIGN_OR_RETURN(record.info.data_size_bytes, NumberAt(object, "data_size_bytes"));
  ASSIGN_OR_RETURN(record.info.chunk_count, NumberAt(object, "chunk_count"));
  ASSIGN_OR_RETURN(record.index, FileAt(object, "index"));
  ASSIGN_OR_RETURN(record.chunk_table, FileAt(object, "chunks"));
  if (const Status sizes = CheckInfo(record.info); !sizes.ok()) {
    return Malformed(MessageOf(sizes));
  }
  return record;
}

Status CheckInfo(const LayerInfo& info) {
  if (info.chunk_count > PresenceMap::kMaxChunks) {
    return MakeError(StatusCode::kInvalidArgument,
                     fmt::format("{} chunks are too many", info.chunk_count));
  }
  if (info.data_size_bytes > kMaxDataBytes) {
    return MakeError(StatusCode::kInvalidArgument,
                     fmt::format("{} bytes of data are too many", info.data_size_bytes));
  }
  return OkStatus();
}

}  // namespace starling::store
