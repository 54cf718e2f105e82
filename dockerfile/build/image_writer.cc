#include "dockerfile/build/image_writer.h"

#include <algorithm>
#include <utility>

#include "containerd/content_source.h"

namespace starling::dockerfile::build {
namespace {

namespace media_type = oci::media_type;

constexpr const char* kConfigLabel = "containerd.io/gc.ref.content.config";
constexpr const char* kSnapshotLabelPrefix = "containerd.io/gc.ref.snapshot.";

oci::Descriptor DescriptorOf(const oci::RawManifest& document) {
  return {.media_type = document.media_type,
          .digest = document.digest,
          .size_bytes = document.bytes.size()};
}

StatusOr<std::string> DockerTypeOf(const std::string& type) {
  if (type == media_type::kOciLayerGzip || type == media_type::kDockerLayerGzip) {
    return std::string(media_type::kDockerLayerGzip);
  }
  if (type == media_type::kOciLayerTar || type == media_type::kDockerLayerTar) {
    return std::string(media_type::kDockerLayerTar);
  }
  return MakeError(StatusCode::kInvalidArgument,
                   fmt::format("Docker's media types have none for a layer of type {}; build with "
                               "oci-mediatypes=true",
                               type));
}

/// The OCI type of what a base in Docker's types has.
std::string OciTypeOf(const std::string& type) {
  if (type == media_type::kDockerLayerGzip) {
    return std::string(media_type::kOciLayerGzip);
  }
  if (type == media_type::kDockerLayerTar) {
    return std::string(media_type::kOciLayerTar);
  }
  return type;
}

/// A manifest and its configuration, with the labels by which the collector finds what they name.
Status StoreManifest(containerd::Client& client, const oci::RawManifest& manifest,
                     const oci::Manifest& parsed, const std::string& config,
                     const containerd::Labels& config_labels) {
  RETURN_IF_ERROR(client.PutContent(parsed.config, AsBytes(config), config_labels));
  containerd::Labels labels = {{kConfigLabel, parsed.config.digest.ToString()}};
  for (size_t i = 0; i < parsed.layers.size(); ++i) {
    labels[fmt::format("containerd.io/gc.ref.content.l.{}", i)] =
        parsed.layers[i].digest.ToString();
  }
  return client.PutContent(DescriptorOf(manifest), manifest.bytes, labels);
}

/// The layers' own blobs in containerd, all else in memory or at the bases.
class BuiltImageSource : public containerd::ContentSource {
 public:
  BuiltImageSource(containerd::Client& client, BaseImages& bases,
                   const std::vector<BuiltImage>& images,
                   const std::optional<oci::RawManifest>& index)
      : ContentSource(client, "the built image"), bases_(bases), images_(images), index_(index) {}

  StatusOr<oci::RawManifest> ReadTopManifest() override {
    return index_ ? *index_ : images_.front().manifest;
  }
  StatusOr<oci::RawManifest> ReadManifest(const oci::Descriptor& descriptor) override {
    for (const BuiltImage& image : images_) {
      if (image.manifest.digest == descriptor.digest) {
        return image.manifest;
      }
      if (image.attestation && image.attestation->manifest.digest == descriptor.digest) {
        return image.attestation->manifest;
      }
    }
    return ContentSource::ReadManifest(descriptor);
  }
  Status ReadBlob(const oci::Descriptor& blob, ByteSink& sink) override {
    if (const std::string* document = DocumentOf(blob)) {
      return sink.Write(AsBytes(*document));
    }
    ASSIGN_OR_RETURN(const std::shared_ptr<oci::ImageSource> other, OpenOther(blob));
    return other ? other->ReadBlob(blob, sink) : ContentSource::ReadBlob(blob, sink);
  }
  Status ReadBlobFrom(const oci::Descriptor& blob, uint64_t blob_offset, ByteSink& sink) override {
    if (const std::string* document = DocumentOf(blob)) {
      return sink.Write(AsBytes(*document).subspan(blob_offset));
    }
    ASSIGN_OR_RETURN(const std::shared_ptr<oci::ImageSource> other, OpenOther(blob));
    return other ? other->ReadBlobFrom(blob, blob_offset, sink)
                 : ContentSource::ReadBlobFrom(blob, blob_offset, sink);
  }
  std::vector<oci::BlobOrigin> OriginsOf(const oci::Descriptor& blob) override {
    std::vector<oci::BlobOrigin> origins;
    const auto base = bases_.FindByBlob(blob.digest);
    if (base && base->reference) {
      origins.push_back(
          {.registry = base->reference->domain(), .repository = base->reference->repository()});
    }
    if (const auto origin = oci::Reference::Parse(OriginOf(blob)); origin.ok()) {
      origins.push_back({.registry = origin->domain(), .repository = origin->repository()});
    }
    return origins;
  }

 private:
  std::string OriginOf(const oci::Descriptor& blob) const {
    for (const BuiltImage& image : images_) {
      for (const Layer& layer : image.tree.layers) {
        if (layer.blob.digest == blob.digest && !layer.origin.empty()) {
          return layer.origin;
        }
      }
    }
    return {};
  }
  /// Where the blob is if not in containerd, which null stands for.
  StatusOr<std::shared_ptr<oci::ImageSource>> OpenOther(const oci::Descriptor& blob) {
    if (const auto base = bases_.FindByBlob(blob.digest)) {
      return base->source;
    }
    const std::string origin = OriginOf(blob);
    return origin.empty() ? std::shared_ptr<oci::ImageSource>() : bases_.OpenOrigin(origin);
  }
  /// A blob that is at hand; null for another.
  const std::string* DocumentOf(const oci::Descriptor& blob) const {
    for (const BuiltImage& image : images_) {
      if (image.parsed.config.digest == blob.digest) {
        return &image.config;
      }
      if (!image.attestation) {
        continue;
      }
      if (image.attestation->parsed.config.digest == blob.digest) {
        return &image.attestation->config;
      }
      if (image.attestation->parsed.layers.front().digest == blob.digest) {
        return &image.attestation->statement;
      }
    }
    return nullptr;
  }

  BaseImages& bases_;
  const std::vector<BuiltImage>& images_;
  const std::optional<oci::RawManifest>& index_;
};

}  // namespace

StatusOr<BuiltImage> DescribeImage(const plan::ImageDraft& draft, const Tree& tree,
                                   const ImageOptions& options) {
  BuiltImage image{.tree = tree};
  std::vector<oci::Digest> diff_ids;
  std::chrono::sys_seconds latest{};
  for (const Layer& layer : tree.layers) {
    diff_ids.push_back(layer.diff_id);
    latest = std::max(latest, layer.created);
    oci::Descriptor descriptor = layer.blob;
    descriptor.platform.reset();
    if (options.docker_media_types) {
      ASSIGN_OR_RETURN(descriptor.media_type, DockerTypeOf(descriptor.media_type));
    } else {
      descriptor.media_type = OciTypeOf(descriptor.media_type);
    }
    image.parsed.layers.push_back(std::move(descriptor));
  }
  image.config = plan::ConfigJson(draft, diff_ids, options.created.value_or(latest));
  if (options.cache_records) {
    ASSIGN_OR_RETURN(image.config, WithCacheRecords(image.config, *options.cache_records));
  }
  image.parsed.media_type =
      options.docker_media_types ? media_type::kDockerManifest : media_type::kOciManifest;
  image.parsed.config = {
      .media_type = std::string(options.docker_media_types ? media_type::kDockerConfig
                                                           : media_type::kOciConfig),
      .digest = oci::Digest::Of(AsBytes(image.config)),
      .size_bytes = image.config.size()};
  image.parsed.annotations = options.annotations;
  image.manifest = oci::MakeRawManifest(image.parsed.media_type, image.parsed.ToJson());
  return image;
}

StatusOr<std::vector<BuiltImage>> DescribeCache(const std::vector<CachedResult>& results,
                                                const oci::Platform& platform) {
  std::vector<BuiltImage> images;
  for (const Tree& tree : LongestTrees(results)) {
    ASSIGN_OR_RETURN(BuiltImage image, DescribeImage(plan::ImageDraft::Scratch(platform), tree,
                                                     {.cache_records = RecordsOf(tree, results)}));
    images.push_back(std::move(image));
  }
  return images;
}

oci::RawManifest DescribeIndex(const std::vector<BuiltImage>& images,
                               const oci::Annotations& annotations) {
  oci::Index index;
  const bool is_docker = images.front().parsed.media_type == media_type::kDockerManifest;
  index.media_type = is_docker ? media_type::kDockerManifestList : media_type::kOciIndex;
  index.annotations = annotations;
  for (const BuiltImage& image : images) {
    oci::Descriptor descriptor = DescriptorOf(image.manifest);
    const auto config = oci::ImageConfig::Parse(AsBytes(image.config));
    if (config.ok()) {
      descriptor.platform = config->platform();
    }
    index.manifests.push_back(std::move(descriptor));
  }
  for (const BuiltImage& image : images) {
    if (image.attestation) {
      oci::Descriptor descriptor = DescriptorOf(image.attestation->manifest);
      descriptor.platform = {.os = "unknown", .architecture = "unknown"};
      descriptor.annotations = {{"vnd.docker.reference.digest", image.manifest.digest.ToString()},
                                {"vnd.docker.reference.type", "attestation-manifest"}};
      index.manifests.push_back(std::move(descriptor));
    }
  }
  return oci::MakeRawManifest(index.media_type, index.ToJson());
}

Status StoreImage(containerd::Client& client, const std::string& snapshotter,
                  const std::string& name, const std::vector<BuiltImage>& images,
                  const std::optional<oci::RawManifest>& index) {
  containerd::Labels index_labels;
  const auto refer = [&index_labels](const oci::RawManifest& manifest) {
    index_labels[fmt::format("containerd.io/gc.ref.content.m.{}", index_labels.size())] =
        manifest.digest.ToString();
  };
  for (const BuiltImage& image : images) {
    containerd::Labels config_labels;
    if (!image.tree.snapshot.empty()) {
      config_labels[kSnapshotLabelPrefix + snapshotter] = image.tree.snapshot;
    }
    RETURN_IF_ERROR(
        StoreManifest(client, image.manifest, image.parsed, image.config, config_labels));
    refer(image.manifest);
  }
  for (const BuiltImage& image : images) {
    if (const auto& attestation = image.attestation) {
      RETURN_IF_ERROR(client.PutContent(attestation->parsed.layers.front(),
                                        AsBytes(attestation->statement), {}));
      RETURN_IF_ERROR(StoreManifest(client, attestation->manifest, attestation->parsed,
                                    attestation->config, {}));
      refer(attestation->manifest);
    }
  }
  if (index) {
    RETURN_IF_ERROR(client.PutContent(DescriptorOf(*index), index->bytes, index_labels));
  }
  return client.PutImage(name, DescriptorOf(index ? *index : images.front().manifest));
}

std::unique_ptr<oci::ImageSource> OpenImage(containerd::Client& client, BaseImages& bases,
                                            const std::vector<BuiltImage>& images,
                                            const std::optional<oci::RawManifest>& index) {
  return std::make_unique<BuiltImageSource>(client, bases, images, index);
}

}  // namespace starling::dockerfile::build
