#include "dockerfile/build/recompress.h"

#include <utility>

#include "base/byte_pipe.h"
#include "base/progress_sink.h"
#include "containerd/pull.h"
#include "convert/layer_conversion.h"
#include "dockerfile/plan/keys.h"
#include "estargz/decompress.h"
#include "oci/image_config.h"
#include "oci/json_fields.h"

namespace starling::dockerfile::build {
namespace {

namespace media_type = oci::media_type;

constexpr const char* kUncompressed = "containerd.io/uncompressed";
/// Of a blob: from which one it was made, and how.
constexpr const char* kMadeOfLabel = "starling.dev/build.recompressed";
/// What a manifest says of it.
constexpr const char* kDescriptorLabel = "starling.dev/build.descriptor";
/// containerd refuses longer ones, with their names.
constexpr size_t kMaxLabelBytes = 4000;
/// The download goes on while the writer compresses.
constexpr size_t kPipeBytes = 8 << 20;

oci::Digest KeyOf(const oci::Digest& blob, const LayerFormat& format) {
  std::vector<plan::KeyPart> parts = {
      {.name = "blob", .value = blob.ToString()},
      {.name = "format", .value = std::string(NameOf(format.compression))}};
  if (format.level) {
    parts.push_back({.name = "level", .value = fmt::format("{}", *format.level)});
  }
  return plan::KeyOf(parts);
}

containerd::Labels LabelsOf(const oci::Digest& key, const WrittenBlob& blob) {
  containerd::Labels labels = {{kUncompressed, blob.diff_id.ToString()}};
  const std::string descriptor = oci::WriteJson(
      {{"mediaType", blob.descriptor.media_type}, {"annotations", blob.descriptor.annotations}});
  if (descriptor.size() <= kMaxLabelBytes) {
    labels[kMadeOfLabel] = key.Hex();
    labels[kDescriptorLabel] = descriptor;
  }
  return labels;
}

StatusOr<WrittenBlob> BlobOf(const containerd::Client::Content& content) {
  WrittenBlob blob;
  blob.descriptor.digest = content.digest;
  blob.descriptor.size_bytes = content.size_bytes;
  try {
    ASSIGN_OR_RETURN(blob.diff_id, oci::Digest::Parse(content.labels.at(kUncompressed)));
    ASSIGN_OR_RETURN(const oci::Json json,
                     oci::ParseJsonObject(AsBytes(content.labels.at(kDescriptorLabel)),
                                          kMaxLabelBytes, kDescriptorLabel));
    blob.descriptor.media_type = json.at("mediaType").get<std::string>();
    blob.descriptor.annotations = json.at("annotations").get<oci::Annotations>();
  } catch (const std::exception& error) {
    return MakeError(StatusCode::kDataLoss, error.what());
  }
  return blob;
}

/// What an earlier build has made of it, if that is there.
StatusOr<std::optional<WrittenBlob>> Find(containerd::Client& client, const oci::Digest& key) {
  ASSIGN_OR_RETURN(const std::vector<containerd::Client::Content> found,
                   client.FindContent(fmt::format("labels.\"{}\"=={}", kMadeOfLabel, key.Hex())));
  for (const containerd::Client::Content& content : found) {
    // Labels that are not ours are no reason to fail.
    if (StatusOr<WrittenBlob> blob = BlobOf(content); blob.ok()) {
      return std::optional(*std::move(blob));
    }
  }
  return std::optional<WrittenBlob>();
}

StatusOr<WrittenBlob> Write(containerd::Client& client, oci::ImageSource& source,
                            const Layer& layer, const oci::Digest& key, const LayerFormat& format,
                            const std::stop_token& stop, Progress& progress,
                            const std::string& part) {
  ASSIGN_OR_RETURN(const std::unique_ptr<containerd::Client::NewContentWriter> writer,
                   client.WriteNewContent());
  WrittenBlob written;
  RETURN_IF_ERROR(RunPiped(
      "layer-in", kPipeBytes,
      [&](ByteSink& pipe) {
        ProgressSink watched(pipe, progress, part, stop);
        return source.ReadBlob(layer.blob, watched);
      },
      [&](ByteSource& pipe) -> Status {
        estargz::DecompressedTar tar(pipe);
        ASSIGN_OR_RETURN(written, WriteBlob(tar, *writer, format));
        return OkStatus();
      }));
  const bool is_lazy = format.compression == Compression::kEstargz ||
                       format.compression == Compression::kZstdChunked;
  if (!is_lazy && written.diff_id != layer.diff_id) {
    return MakeError(StatusCode::kDataLoss,
                     fmt::format("it is {}, but its image says {}", written.diff_id.ToString(),
                                 layer.diff_id.ToString()));
  }
  RETURN_IF_ERROR(writer->Commit(written.descriptor.digest, LabelsOf(key, written)));
  return written;
}

}  // namespace

StatusOr<bool> HasCompression(oci::ImageSource& source, const oci::Descriptor& layer,
                              Compression compression) {
  const std::string& type = layer.media_type;
  switch (compression) {
    case Compression::kEstargz:
      return convert::HasFormat(source, layer, estargz::WriteFormat::kEstargz);
    case Compression::kZstdChunked:
      return convert::HasFormat(source, layer, estargz::WriteFormat::kStargzZstd);
    case Compression::kGzip:
      return type == media_type::kOciLayerGzip || type == media_type::kDockerLayerGzip;
    case Compression::kZstd:
      return type == media_type::kOciLayerZstd;
    case Compression::kUncompressed:
      return type == media_type::kOciLayerTar || type == media_type::kDockerLayerTar;
  }
  return false;
}

StatusOr<Tree> Recompress(containerd::Client& client, oci::ImageSource& source, const Tree& tree,
                          const LayerFormat& format, const std::stop_token& stop,
                          Progress& progress) {
  Tree result = tree;
  std::vector<oci::Digest> diff_ids;
  for (Layer& layer : result.layers) {
    if (!media_type::IsLayer(layer.blob.media_type)) {
      return MakeError(StatusCode::kUnimplemented,
                       fmt::format("layer {} is of type \"{}\", which cannot be recompressed",
                                   layer.blob.digest.ToString(), layer.blob.media_type));
    }
    ASSIGN_OR_RETURN(const bool is_there, HasCompression(source, layer.blob, format.compression));
    if (!is_there) {
      const oci::Digest key = KeyOf(layer.blob.digest, format);
      ASSIGN_OR_RETURN(std::optional<WrittenBlob> blob, Find(client, key));
      if (!blob) {
        const std::string part = layer.blob.digest.ToString().substr(0, 19);
        progress.Begin(part, layer.blob.size_bytes);
        auto written = Write(client, source, layer, key, format, stop, progress, part);
        progress.End(part, written.ok() ? "recompressed" : "failed");
        if (!written.ok()) {
          return Annotate(written.status(), fmt::format("layer {}", layer.blob.digest.ToString()));
        }
        blob = *std::move(written);
      }
      layer.blob = blob->descriptor;
      layer.diff_id = blob->diff_id;
      layer.origin.clear();
    }
    diff_ids.push_back(layer.diff_id);
  }
  if (!diff_ids.empty()) {
    result.snapshot = oci::ChainIds(diff_ids).back().ToString();
  }
  return result;
}

Status UnpackImage(containerd::Client& client, oci::ImageSource& source, const BuiltImage& image,
                   const std::string& snapshotter, const std::stop_token& stop,
                   Progress& progress) {
  std::vector<oci::Digest> diff_ids;
  diff_ids.reserve(image.tree.layers.size());
  for (const Layer& layer : image.tree.layers) {
    diff_ids.push_back(layer.diff_id);
  }
  oci::SelectedImage selected{
      .top = image.manifest, .raw_manifest = image.manifest, .manifest = image.parsed};
  return containerd::PullLayers(client, source, selected, diff_ids,
                                {.reference = {},
                                 .snapshotter = snapshotter,
                                 .labels = containerd::LabelsForBuild(),
                                 .stop = stop},
                                progress)
      .status();
}

}  // namespace starling::dockerfile::build
