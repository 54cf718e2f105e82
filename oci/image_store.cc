#include "oci/image_store.h"

#include <algorithm>

namespace starling::oci {
namespace {

// A hostile index of indexes could ask for a request for each of thousands of entries.
constexpr int kMaxManifestsRead = 16;

/// Passes on what comes after the first `skip_bytes`.
class SkippingSink : public ByteSink {
 public:
  SkippingSink(ByteSink& next, uint64_t skip_bytes) : next_(next), skip_bytes_(skip_bytes) {}
  Status Write(ByteSpan bytes) override {
    const size_t skipped = std::min<uint64_t>(skip_bytes_, bytes.size());
    skip_bytes_ -= skipped;
    return skipped == bytes.size() ? OkStatus() : next_.Write(bytes.subspan(skipped));
  }

 private:
  ByteSink& next_;
  uint64_t skip_bytes_;
};

/// Walks from an index down to the manifest that runs best.
class Selection {
 public:
  Selection(ImageSource& source, const Platform& platform) : source_(source), platform_(platform) {}

  StatusOr<RawManifest> Find(const RawManifest& raw, int depth) {
    ASSIGN_OR_RETURN(const std::string type, DetectMediaType(raw.bytes, raw.media_type));
    if (!media_type::IsIndex(type)) {
      return raw;
    }
    if (depth >= kMaxIndexDepth) {
      return MakeError(StatusCode::kDataLoss,
                       fmt::format("indexes nest more than {} deep", kMaxIndexDepth));
    }
    ASSIGN_OR_RETURN(const Index index, Index::Parse(raw.bytes, raw.media_type));
    Status nothing = index.Select(platform_).status();
    for (const Descriptor& entry : index.Candidates(platform_)) {
      if (++manifests_read_ > kMaxManifestsRead) {
        return MakeError(StatusCode::kResourceExhausted,
                         fmt::format("no image for {} among the first {} manifests",
                                     platform_.ToString(), kMaxManifestsRead));
      }
      ASSIGN_OR_RETURN(const RawManifest child, source_.ReadManifest(entry));
      auto found = Find(child, depth + 1);
      // Only an index can turn out to hold nothing for this platform; then the next may.
      if (found.status().code() != StatusCode::kNotFound) {
        return found;
      }
      nothing = found.status();
    }
    return nothing;
  }

 private:
  ImageSource& source_;
  const Platform& platform_;
  int manifests_read_ = 0;
};

}  // namespace

RawManifest MakeRawManifest(std::string_view media_type, std::string_view json) {
  const ByteSpan bytes = AsBytes(json);
  return {.media_type = std::string(media_type),
          .digest = Digest::Of(bytes),
          .bytes = Bytes(bytes.begin(), bytes.end())};
}

Status ImageSource::ReadBlobFrom(const Descriptor& blob, uint64_t blob_offset, ByteSink& sink) {
  SkippingSink rest(sink, blob_offset);
  return ReadBlob(blob, rest);
}

std::vector<BlobOrigin> ImageSource::OriginsOf(const Descriptor&) { return {}; }

StatusOr<std::vector<Descriptor>> ImageSource::ReadReferrers(const Digest&) {
  return MakeError(StatusCode::kUnimplemented,
                   fmt::format("{}: only a registry keeps what is said about an image", Name()));
}

ImageDestination::OpenStream StreamOf(ByteSpan content) {
  return [content](uint64_t blob_offset) -> StatusOr<std::unique_ptr<ByteSource>> {
    return std::make_unique<SpanSource>(
        content.subspan(std::min<uint64_t>(blob_offset, content.size())));
  };
}

StatusOr<SelectedImage> SelectImage(ImageSource& source, const Platform& platform) {
  SelectedImage selected;
  ASSIGN_OR_RETURN(selected.top, source.ReadTopManifest());
  auto manifest = Selection(source, platform).Find(selected.top, 0);
  if (!manifest.ok()) {
    return Annotate(manifest.status(), source.Name());
  }
  selected.raw_manifest = *std::move(manifest);
  auto parsed = Manifest::Parse(selected.raw_manifest.bytes, selected.raw_manifest.media_type);
  if (!parsed.ok()) {
    return Annotate(parsed.status(), source.Name());
  }
  selected.manifest = *std::move(parsed);
  ASSIGN_OR_RETURN(std::string target_type,
                   DetectMediaType(selected.top.bytes, selected.top.media_type));
  selected.target = Descriptor{.media_type = std::move(target_type),
                               .digest = selected.top.digest,
                               .size_bytes = selected.top.bytes.size()};
  return selected;
}

StatusOr<Manifest> ReadManifest(ImageSource& source, const Digest& digest) {
  Descriptor descriptor;
  descriptor.digest = digest;
  ASSIGN_OR_RETURN(const RawManifest raw, source.ReadManifest(descriptor));
  return Manifest::Parse(raw.bytes, raw.media_type);
}

Status CheckConfigSize(const Descriptor& config) {
  if (config.size_bytes > kMaxConfigBytes) {
    return MakeError(StatusCode::kResourceExhausted,
                     fmt::format("the image's configuration has {} bytes, at most {} are read",
                                 config.size_bytes, kMaxConfigBytes));
  }
  return OkStatus();
}

StatusOr<ImageConfig> ReadConfig(ImageSource& source, const Descriptor& config) {
  RETURN_IF_ERROR(CheckConfigSize(config));
  BytesSink sink;
  RETURN_IF_ERROR(source.ReadBlob(config, sink));
  return ImageConfig::Parse(sink.bytes());
}

}  // namespace starling::oci
