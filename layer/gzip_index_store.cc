#include "layer/gzip_index_store.h"

#include "base/log.h"
#include "layer/kept_files.h"

namespace starling::layer {
namespace {

constexpr std::string_view kExtension = ".gzidx";

std::filesystem::path PathIn(const std::filesystem::path& directory, const oci::Digest& layer) {
  return directory / (layer.Hex() + std::string(kExtension));
}

}  // namespace

StatusOr<estargz::GzipLayerIndex> GzipIndexStore::Find(const oci::Digest& layer) {
  const std::filesystem::path path = PathIn(directory_, layer);
  const auto read = [&]() -> StatusOr<estargz::GzipLayerIndex> {
    ASSIGN_OR_RETURN(Bytes bytes, ReadFile(files_, path, estargz::GzipLayerIndex::kMaxBytes));
    ASSIGN_OR_RETURN(estargz::GzipLayerIndex index,
                     estargz::GzipLayerIndex::Parse(std::move(bytes)));
    if (index.layer() != layer) {
      return MakeError(StatusCode::kDataLoss,
                       fmt::format("it is the index of {}", index.layer().ToString()));
    }
    return index;
  };
  StatusOr<estargz::GzipLayerIndex> index = read();
  switch (index.status().code()) {
    case StatusCode::kDataLoss:
    case StatusCode::kResourceExhausted: {
      log::Warning("the index of a gzip layer is damaged and was removed",
                   {{"file", path.string()}, {"error", Describe(index.status())}});
      std::error_code ignored;
      std::filesystem::remove(path, ignored);
      return MakeError(StatusCode::kNotFound, "the kept index was damaged");
    }
    case StatusCode::kNotFound:
      return MakeError(StatusCode::kNotFound,
                       fmt::format("no gzip index of {} is kept", layer.ToString()));
    default:
      return index;
  }
}

Status GzipIndexStore::Add(const estargz::GzipLayerIndex& index) {
  RETURN_IF_ERROR(MakeDirectories(directory_, 0700));
  const std::filesystem::path path = PathIn(directory_, index.layer());
  RETURN_IF_ERROR(WriteFileAtomically(files_, path, index.bytes(), 0600));
  return RemoveOldest(directory_, kExtension, max_indexes_, path);
}

}  // namespace starling::layer
