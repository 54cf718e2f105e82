#include "transport/docker_archive.h"

#include <algorithm>
#include <array>
#include <nlohmann/json.hpp>
#include <vector>

#include "base/hex.h"
#include "oci/image_config.h"
#include "oci/reference.h"

namespace starling::transport {
namespace {

using Json = nlohmann::json;

/// One image of manifest.json.
struct SavedImage {
  std::string config;
  std::vector<std::string> layers;  // bottom first
  std::vector<std::string> tags;
};

Status Malformed(std::string_view problem) {
  return MakeError(StatusCode::kDataLoss, fmt::format("manifest.json: {}", problem));
}

StatusOr<std::vector<std::string>> Texts(const Json& image, const char* key) {
  std::vector<std::string> texts;
  const auto found = image.find(key);
  if (found == image.end() || found->is_null()) {
    return texts;
  }
  if (!found->is_array()) {
    return Malformed(fmt::format("\"{}\" is not a list", key));
  }
  for (const Json& item : *found) {
    if (!item.is_string()) {
      return Malformed(fmt::format("\"{}\" holds something that is no text", key));
    }
    texts.push_back(item.get<std::string>());
  }
  return texts;
}

StatusOr<std::vector<SavedImage>> ParseSavedImages(ByteSpan bytes) {
  const std::string_view text = AsText(bytes);
  // Depth needs no bound here: what nests is never looked at, and the parser does not recurse.
  const Json document = Json::parse(text.begin(), text.end(), nullptr, /*allow_exceptions=*/false);
  if (!document.is_array()) {
    return Malformed("not a JSON list");
  }
  std::vector<SavedImage> images;
  for (const Json& item : document) {
    if (!item.is_object() || !item.contains("Config") || !item["Config"].is_string()) {
      return Malformed("an image without \"Config\"");
    }
    SavedImage image{.config = item["Config"].get<std::string>()};
    ASSIGN_OR_RETURN(image.layers, Texts(item, "Layers"));
    ASSIGN_OR_RETURN(image.tags, Texts(item, "RepoTags"));
    images.push_back(std::move(image));
  }
  return images;
}

bool HasTag(const SavedImage& image, const oci::Reference& wanted) {
  return std::any_of(image.tags.begin(), image.tags.end(), [&](const std::string& tag) {
    const auto reference = oci::Reference::Parse(tag);
    return reference.ok() && *reference == wanted;
  });
}

StatusOr<SavedImage> SelectImage(const std::vector<SavedImage>& images,
                                 const std::string& reference) {
  std::string tags;
  for (const SavedImage& image : images) {
    for (const std::string& tag : image.tags) {
      tags += (tags.empty() ? "" : ", ") + tag;
    }
  }
  if (reference.empty()) {
    if (images.size() == 1) {
      return images.front();
    }
    return MakeError(
        StatusCode::kInvalidArgument,
        fmt::format("it holds {} images; append :REFERENCE, one of: {}", images.size(), tags));
  }
  ASSIGN_OR_RETURN(const oci::Reference wanted, oci::Reference::Parse(reference));
  for (const SavedImage& image : images) {
    if (HasTag(image, wanted)) {
      return image;
    }
  }
  return MakeError(StatusCode::kNotFound,
                   fmt::format("no image {}; there is: {}", wanted.ToString(), tags));
}

/// By the first bytes: some builders put compressed layers into the archive.
StatusOr<std::string_view> LayerType(const FileExtent& member) {
  constexpr std::string_view kGzip = "\x1f\x8b";
  constexpr std::string_view kZstd = "\x28\xb5\x2f\xfd";
  ExtentStream stream(member);
  std::array<std::byte, 4> head{};
  ASSIGN_OR_RETURN(const size_t count, ReadFully(stream, head));
  const std::string_view text = AsText(ByteSpan(head).first(count));
  return text.starts_with(kGzip)   ? oci::media_type::kOciLayerGzip
         : text.starts_with(kZstd) ? oci::media_type::kOciLayerZstd
                                   : oci::media_type::kOciLayerTar;
}

StatusOr<oci::Digest> HashExtent(const FileExtent& member) {
  ExtentStream stream(member);
  oci::Sha256 hash;
  Bytes buffer(1 << 20);
  for (;;) {
    ASSIGN_OR_RETURN(const size_t count, stream.Read(buffer));
    if (count == 0) {
      return hash.Finish();
    }
    hash.Update(ByteSpan(buffer).first(count));
  }
}

}  // namespace

StatusOr<std::shared_ptr<DockerArchiveSource>> DockerArchiveSource::Open(
    std::shared_ptr<const MemberFiles> files, const std::string& reference, std::string name) {
  std::shared_ptr<DockerArchiveSource> source(new DockerArchiveSource(std::move(name)));
  RETURN_IF_ERROR(Annotate(source->Fill(*files, reference), source->name_));
  return source;
}

Status DockerArchiveSource::Fill(const MemberFiles& files, const std::string& reference) {
  ASSIGN_OR_RETURN(const FileExtent list, files.Find("manifest.json"));
  ASSIGN_OR_RETURN(const Bytes list_json, ReadExtent(list, oci::kMaxManifestBytes));
  ASSIGN_OR_RETURN(const std::vector<SavedImage> images, ParseSavedImages(list_json));
  ASSIGN_OR_RETURN(const SavedImage image, SelectImage(images, reference));
  ASSIGN_OR_RETURN(const FileExtent config_member, files.Find(image.config));
  ASSIGN_OR_RETURN(const Bytes config_json, ReadExtent(config_member, oci::kMaxConfigBytes));
  ASSIGN_OR_RETURN(const oci::ImageConfig config, oci::ImageConfig::Parse(config_json));
  if (config.diff_ids().size() != image.layers.size()) {
    return Malformed(fmt::format("{} layers, but the configuration names {}", image.layers.size(),
                                 config.diff_ids().size()));
  }
  oci::Manifest manifest;
  manifest.media_type = oci::media_type::kOciManifest;
  manifest.config = {.media_type = std::string(oci::media_type::kOciConfig),
                     .digest = oci::Digest::Of(config_json),
                     .size_bytes = config_json.size()};
  blobs_[manifest.config.digest] = config_member;
  for (size_t i = 0; i < image.layers.size(); ++i) {
    ASSIGN_OR_RETURN(const FileExtent member, files.Find(image.layers[i]));
    ASSIGN_OR_RETURN(oci::Descriptor layer, AddLayer(member, config.diff_ids()[i]));
    manifest.layers.push_back(std::move(layer));
  }
  top_.media_type = manifest.media_type;
  top_.bytes = ToBytes(manifest.ToJson());
  top_.digest = oci::Digest::Of(top_.bytes);
  return OkStatus();
}

StatusOr<oci::Descriptor> DockerArchiveSource::AddLayer(const FileExtent& member,
                                                        const oci::Digest& diff_id) {
  ASSIGN_OR_RETURN(const std::string_view type, LayerType(member));
  oci::Descriptor layer{
      .media_type = std::string(type), .digest = diff_id, .size_bytes = member.size_bytes};
  if (type != oci::media_type::kOciLayerTar) {
    ASSIGN_OR_RETURN(layer.digest, HashExtent(member));
  }
  blobs_[layer.digest] = member;
  return layer;
}

StatusOr<FileExtent> DockerArchiveSource::Find(const oci::Digest& digest) {
  const auto found = blobs_.find(digest);
  if (found == blobs_.end()) {
    return MakeError(StatusCode::kNotFound, fmt::format("no blob {}", digest.ToString()));
  }
  return found->second;
}

}  // namespace starling::transport
