#include "layer/gzip_index_store.h"

#include <fcntl.h>
#include <sys/stat.h>

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
      break;
  }
  if (index.ok()) {
    // Without a time of its last use it goes sooner, that is all.
    (void)::utimensat(AT_FDCWD, path.c_str(), nullptr, 0);
    if (const auto version = VersionOf(path)) {
      MutexLock lock(mutex_);
      known_[layer] = {*version, index->digest()};
    }
  }
  return index;
}

StatusOr<oci::Digest> GzipIndexStore::DigestOf(const oci::Digest& layer) {
  const auto version = VersionOf(PathIn(directory_, layer));
  {
    MutexLock lock(mutex_);
    const auto known = known_.find(layer);
    if (known != known_.end()) {
      if (version && *version == known->second.first) {
        return known->second.second;
      }
      known_.erase(known);
    }
  }
  ASSIGN_OR_RETURN(const estargz::GzipLayerIndex index, Find(layer));
  return index.digest();
}

std::optional<GzipIndexStore::Version> GzipIndexStore::VersionOf(
    const std::filesystem::path& path) {
  struct stat file{};
  if (::stat(path.c_str(), &file) != 0) {
    return std::nullopt;
  }
  return Version{.inode = file.st_ino,
                 .size_bytes = file.st_size,
                 .seconds = file.st_mtim.tv_sec,
                 .nanoseconds = file.st_mtim.tv_nsec};
}

Status GzipIndexStore::Add(const estargz::GzipLayerIndex& index) {
  RETURN_IF_ERROR(MakeDirectories(directory_, 0700));
  const std::filesystem::path path = PathIn(directory_, index.layer());
  RETURN_IF_ERROR(WriteFileAtomically(files_, path, index.bytes(), 0600));
  return RemoveOldest(directory_, kExtension, {.files = max_indexes_, .bytes = max_bytes_}, path);
}

}  // namespace starling::layer
