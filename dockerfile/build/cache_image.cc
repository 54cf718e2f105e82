#include "dockerfile/build/cache_image.h"

#include <fcntl.h>
#include <unistd.h>

#include <algorithm>
#include <utility>

#include "base/io.h"
#include "containerd/pull.h"
#include "dockerfile/build/key_part_json.h"
#include "dockerfile/files/archive.h"
#include "dockerfile/files/root_walk.h"
#include "oci/json_fields.h"

namespace starling::dockerfile::build {
namespace {

using oci::Json;

/// Beside the fields of an image's configuration, which allows others.
constexpr const char* kField = "dev.starling.build.cache";
constexpr int kVersion = 1;
/// Of one cache: more images are refused.
constexpr size_t kMaxImages = 1000;
constexpr size_t kMaxTitleBytes = 1 << 10;

Json JsonOf(const CacheRecord& record) {
  return {{"key", record.key.ToString()},
          {"layers", record.layers},
          {"title", record.title},
          {"parts", KeyPartsJson(record.parts)}};
}

StatusOr<CacheRecord> RecordOf(const Json& json, size_t layers) {
  CacheRecord record;
  ASSIGN_OR_RETURN(record.key, oci::DigestField(json, "key"));
  ASSIGN_OR_RETURN(record.layers, oci::SizeField(json, "layers"));
  ASSIGN_OR_RETURN(record.title, oci::TextField(json, "title"));
  if (record.layers == 0 || record.layers > layers || record.title.size() > kMaxTitleBytes) {
    return MakeError(StatusCode::kDataLoss,
                     fmt::format("a record of {} layers in an image of {}", record.layers, layers));
  }
  ASSIGN_OR_RETURN(record.parts, KeyPartsIn(oci::FindField(json, "parts")));
  return record;
}

StatusOr<std::vector<CachedMount>> MountsIn(const Json* list, size_t layers) {
  std::vector<CachedMount> mounts;
  if (list == nullptr) {
    return mounts;
  }
  if (!list->is_array() || list->size() > kMaxCachedMounts) {
    return MakeError(StatusCode::kDataLoss, "its list of cache mounts is broken");
  }
  for (const Json& entry : *list) {
    CachedMount mount;
    ASSIGN_OR_RETURN(mount.id, oci::TextField(entry, "id"));
    ASSIGN_OR_RETURN(mount.layer, oci::SizeField(entry, "layer"));
    if (mount.layer >= layers || mount.id.empty() || mount.id.size() > kMaxCachedMountIdBytes) {
      return MakeError(
          StatusCode::kDataLoss,
          fmt::format("a cache mount in layer {} of an image of {}", mount.layer, layers));
    }
    mounts.push_back(std::move(mount));
  }
  return mounts;
}

bool IsPrefix(const Tree& shorter, const Tree& longer) {
  return shorter.layers.size() <= longer.layers.size() &&
         std::equal(shorter.layers.begin(), shorter.layers.end(), longer.layers.begin(),
                    [](const Layer& a, const Layer& b) {
                      return a.diff_id == b.diff_id && a.blob.digest == b.blob.digest;
                    });
}

}  // namespace

StatusOr<std::string> WithCacheRecords(const std::string& config, const CacheRecords& records) {
  ASSIGN_OR_RETURN(Json json, oci::ParseJsonObject(AsBytes(config), oci::kMaxConfigBytes,
                                                   "configuration of the image"));
  Json list = Json::array();
  for (const CacheRecord& record : records.records) {
    list.push_back(JsonOf(record));
  }
  Json created = Json::array();
  for (const std::chrono::sys_seconds time : records.created) {
    created.push_back(time.time_since_epoch().count());
  }
  json[kField] = {
      {"version", kVersion}, {"records", std::move(list)}, {"created", std::move(created)}};
  for (const CachedMount& mount : records.mounts) {
    json[kField]["mounts"].push_back({{"id", mount.id}, {"layer", mount.layer}});
  }
  return oci::WriteJson(json);
}

StatusOr<CacheRecords> CacheRecordsIn(ByteSpan config) {
  ASSIGN_OR_RETURN(const Json json, oci::ParseJsonObject(config, oci::kMaxConfigBytes,
                                                         "configuration of the image"));
  ASSIGN_OR_RETURN(const oci::ImageConfig image, oci::ImageConfig::Parse(config));
  const size_t layers = image.diff_ids().size();
  CacheRecords found;
  const Json* field = oci::FindField(json, kField);
  if (field == nullptr) {
    return found;
  }
  ASSIGN_OR_RETURN(const uint64_t version, oci::SizeField(*field, "version"));
  if (version != kVersion) {
    return found;  // of another version of this program: its steps are done again
  }
  const Json* list = oci::FindField(*field, "records");
  const Json* created = oci::FindField(*field, "created");
  if (list == nullptr || !list->is_array() || list->size() > kMaxCacheRecords ||
      created == nullptr || !created->is_array() || created->size() != layers) {
    return MakeError(StatusCode::kDataLoss, "its records of a build's results are broken");
  }
  for (const Json& entry : *list) {
    ASSIGN_OR_RETURN(CacheRecord record, RecordOf(entry, layers));
    found.records.push_back(std::move(record));
  }
  ASSIGN_OR_RETURN(found.mounts, MountsIn(oci::FindField(*field, "mounts"), layers));
  for (const Json& seconds : *created) {
    // Until the year 9999: beyond it is no time that documents can hold.
    if (!seconds.is_number_unsigned() || seconds.get<uint64_t>() > 253402300799U) {
      return MakeError(StatusCode::kDataLoss, "a layer of a build's cache has an odd time");
    }
    found.created.emplace_back(std::chrono::seconds(seconds.get<uint64_t>()));
  }
  return found;
}

CacheRecords RecordsOf(const Tree& tree, const std::vector<CachedResult>& results) {
  CacheRecords found;
  for (const CachedResult& result : results) {
    if (!result.tree.layers.empty() && IsPrefix(result.tree, tree)) {
      found.records.push_back({.key = result.key,
                               .layers = result.tree.layers.size(),
                               .title = result.title,
                               .parts = result.parts});
    }
  }
  std::ranges::sort(found.records, {},
                    [](const CacheRecord& record) { return std::pair(record.layers, record.key); });
  for (const Layer& layer : tree.layers) {
    found.created.push_back(layer.created);
  }
  return found;
}

std::vector<Tree> LongestTrees(const std::vector<CachedResult>& results) {
  std::vector<const CachedResult*> longest_first;
  longest_first.reserve(results.size());
  for (const CachedResult& result : results) {
    longest_first.push_back(&result);
  }
  std::ranges::sort(longest_first, [](const CachedResult* a, const CachedResult* b) {
    return std::pair(b->tree.layers.size(), a->key) < std::pair(a->tree.layers.size(), b->key);
  });
  std::vector<Tree> trees;
  for (const CachedResult* result : longest_first) {
    if (std::ranges::none_of(trees, [&](const Tree& t) { return IsPrefix(result->tree, t); })) {
      trees.push_back(result->tree);
    }
  }
  return trees;
}

StatusOr<std::unique_ptr<CacheImport>> CacheImport::Open(std::shared_ptr<oci::ImageSource> source,
                                                         std::optional<oci::Reference> reference,
                                                         BaseImages& bases) {
  std::unique_ptr<CacheImport> cache(new CacheImport(source, std::move(reference)));
  ASSIGN_OR_RETURN(oci::RawManifest top, source->ReadTopManifest());
  ASSIGN_OR_RETURN(top.media_type, oci::DetectMediaType(top.bytes, top.media_type));
  if (!oci::media_type::IsIndex(top.media_type)) {
    RETURN_IF_ERROR(cache->AddImage(top, bases));
  } else {
    ASSIGN_OR_RETURN(const oci::Index index, oci::Index::Parse(top.bytes, top.media_type));
    if (index.manifests.size() > kMaxImages) {
      return MakeError(StatusCode::kResourceExhausted,
                       fmt::format("{}: more than {} images", source->Name(), kMaxImages));
    }
    for (const oci::Descriptor& entry : index.manifests) {
      if (oci::media_type::IsManifest(entry.media_type)) {
        ASSIGN_OR_RETURN(const oci::RawManifest raw, source->ReadManifest(entry));
        RETURN_IF_ERROR(cache->AddImage(raw, bases));
      }
    }
  }
  if (cache->places_.empty() && cache->mounts_.empty()) {
    return MakeError(StatusCode::kNotFound,
                     fmt::format("{}: holds no results of builds", source->Name()));
  }
  return cache;
}

Status CacheImport::AddImage(const oci::RawManifest& raw, BaseImages& bases) {
  oci::SelectedImage selected{.top = raw, .raw_manifest = raw};
  ASSIGN_OR_RETURN(const std::string type, oci::DetectMediaType(raw.bytes, raw.media_type));
  ASSIGN_OR_RETURN(selected.manifest, oci::Manifest::Parse(raw.bytes, type));
  ASSIGN_OR_RETURN(const std::shared_ptr<const BaseImages::Image> image,
                   BaseImages::Read(source_, std::move(selected), reference_));
  auto found = CacheRecordsIn(AsBytes(image->config_text));
  if (!found.ok()) {
    return Annotate(found.status(), source_->Name());
  }
  for (const CachedMount& mount : found->mounts) {
    mounts_.emplace(mount.id, image->selected.manifest.layers[mount.layer]);
  }
  if (found->records.empty()) {
    return OkStatus();
  }
  bases.Add(image);
  for (size_t record = 0; record < found->records.size(); ++record) {
    places_.emplace(found->records[record].key, Place{.image = images_.size(), .record = record});
  }
  images_.push_back({.image = image, .records = *std::move(found)});
  return OkStatus();
}

std::optional<CachedResult> CacheImport::Find(const oci::Digest& key) const {
  const auto found = places_.find(key);
  if (found == places_.end()) {
    return std::nullopt;
  }
  const Image& image = images_[found->second.image];
  const CacheRecord& record = image.records.records[found->second.record];
  CachedResult result{.key = key,
                      .tree = TreeOf(*image.image, record.layers),
                      .title = record.title,
                      .parts = record.parts};
  for (size_t layer = 0; layer < result.tree.layers.size(); ++layer) {
    result.tree.layers[layer].created = image.records.created[layer];
  }
  return result;
}

Status CacheImport::Bring(const CachedResult& result, containerd::Client& client,
                          const std::string& snapshotter, const std::stop_token& stop,
                          Progress& progress) {
  const Image& image = images_[places_.at(result.key).image];
  // The first layers of the image are an image, too: documents are not asked for.
  oci::SelectedImage selected = image.image->selected;
  selected.manifest.layers.resize(result.tree.layers.size());
  std::vector<oci::Digest> diff_ids = image.image->config->diff_ids();
  diff_ids.resize(result.tree.layers.size());
  return containerd::PullLayers(client, *source_, selected, diff_ids,
                                {.reference = reference_,
                                 .snapshotter = snapshotter,
                                 .labels = containerd::LabelsForBuild(),
                                 .stop = stop},
                                progress)
      .status();
}

StatusOr<bool> CacheImport::FillMount(const std::string& id, const std::filesystem::path& directory,
                                      const std::stop_token& stop) const {
  const auto found = mounts_.find(id);
  if (found == mounts_.end()) {
    return false;
  }
  ASSIGN_OR_RETURN(const UniqueFd opened, files::OpenRoot(directory));
  // On the disk that has the room: the layer is unpacked there.
  const UniqueFd blob(::openat(opened.get(), ".", O_TMPFILE | O_RDWR | O_CLOEXEC, 0600));
  if (!blob.valid()) {
    return ErrnoError(errno, directory.native());
  }
  FdSink sink(blob.get());
  RETURN_IF_ERROR(source_->ReadBlob(found->second, sink));
  if (::lseek(blob.get(), 0, SEEK_SET) != 0) {
    return ErrnoError(errno, directory.native());
  }
  RETURN_IF_ERROR(files::UnpackArchive(blob.get(), opened.get(), {}, stop).status());
  return true;
}

}  // namespace starling::dockerfile::build
