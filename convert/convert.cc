#include "convert/convert.h"

#include <fcntl.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <future>
#include <map>
#include <optional>
#include <utility>

#include "base/executor.h"
#include "base/file_system.h"
#include "base/temp_dir.h"
#include "convert/layer_conversion.h"
#include "oci/image_config.h"

namespace starling::convert {
namespace {

/// A blob in a file, to be sent as often as it takes.
class FileStream : public ByteSource {
 public:
  static StatusOr<std::unique_ptr<ByteSource>> Open(const std::filesystem::path& path,
                                                    uint64_t file_offset) {
    ASSIGN_OR_RETURN(UniqueFd fd, RealFileSystem().Open(path, O_RDONLY, 0));
    if (::lseek(fd.get(), static_cast<off_t>(file_offset), SEEK_SET) < 0) {
      return ErrnoError(errno, path.string());
    }
    return std::unique_ptr<ByteSource>(new FileStream(std::move(fd)));
  }
  StatusOr<size_t> Read(std::span<std::byte> out) override { return source_.Read(out); }

 private:
  explicit FileStream(UniqueFd fd) : fd_(std::move(fd)), source_(fd_.get()) {}
  UniqueFd fd_;
  FdSource source_;
};

/// Refuses more bytes than a descriptor promises, so that a lying source cannot fill memory.
class LimitedBytes : public ByteSink {
 public:
  explicit LimitedBytes(uint64_t limit_bytes) : limit_bytes_(limit_bytes) {}
  Status Write(ByteSpan bytes) override {
    if (bytes.size() > limit_bytes_ - sink_.bytes().size()) {
      return MakeError(StatusCode::kResourceExhausted,
                       fmt::format("more than the allowed {} bytes", limit_bytes_));
    }
    return sink_.Write(bytes);
  }
  Bytes& bytes() { return sink_.bytes(); }

 private:
  const uint64_t limit_bytes_;
  BytesSink sink_;
};

bool IsImageConfig(const oci::Descriptor& config) {
  return config.media_type == oci::media_type::kOciConfig ||
         config.media_type == oci::media_type::kDockerConfig;
}

/// BuildKit's provenance and SBOMs: entries without a platform of their own that name the digest of
/// the image they speak of.
bool IsAttestation(const oci::Descriptor& entry) {
  return (entry.platform && entry.platform->os == "unknown") ||
         entry.annotations.contains("vnd.docker.reference.type");
}

std::string ShortName(const oci::Digest& digest) { return digest.Hex().substr(0, 12); }

enum class Position { kTop, kInIndex };

/// One call of ConvertImage. Threads: one; a second one sends the layer before.
class Conversion {
 public:
  Conversion(oci::ImageSource& source, oci::ImageDestination& destination,
             const ConvertOptions& options, Progress& progress, TempDir spool)
      : source_(source),
        destination_(destination),
        options_(options),
        progress_(progress),
        spool_(std::move(spool)) {}
  ~Conversion() {
    // A sender reads the spool directory, which goes next.
    (void)FinishSending();
  }

  StatusOr<ConvertReport> Run() {
    ASSIGN_OR_RETURN(const oci::RawManifest top, source_.ReadTopManifest());
    ASSIGN_OR_RETURN(const oci::RawManifest converted, Convert(top, Position::kTop, 0));
    RETURN_IF_ERROR(FinishSending());
    RETURN_IF_ERROR(destination_.WriteTopManifest(converted));
    report_.target = converted.digest;
    return std::move(report_);
  }

 private:
  struct LayerResult {
    oci::Descriptor to;
    std::optional<oci::Digest> diff_id;  // none: as before
  };

  StatusOr<oci::RawManifest> Convert(oci::RawManifest raw, Position position, int depth) {
    ASSIGN_OR_RETURN(raw.media_type, oci::DetectMediaType(raw.bytes, raw.media_type));
    return oci::media_type::IsIndex(raw.media_type) ? ConvertIndex(raw, depth)
                                                    : ConvertManifest(raw, position);
  }

  StatusOr<oci::RawManifest> ConvertIndex(const oci::RawManifest& raw, int depth) {
    if (depth >= oci::kMaxIndexDepth) {
      return MakeError(StatusCode::kDataLoss,
                       fmt::format("indexes nest more than {} deep", oci::kMaxIndexDepth));
    }
    ASSIGN_OR_RETURN(oci::Index index, oci::Index::Parse(raw.bytes, raw.media_type));
    ASSIGN_OR_RETURN(const std::vector<oci::Descriptor> wanted, WantedEntries(index));
    std::vector<oci::Descriptor> entries;
    std::vector<oci::Descriptor> attestations;
    bool changed = false;
    for (const oci::Descriptor& entry : wanted) {
      if (IsAttestation(entry)) {
        attestations.push_back(entry);
        continue;
      }
      ASSIGN_OR_RETURN(oci::Descriptor converted, ConvertEntry(entry, depth));
      changed = changed || converted.digest != entry.digest;
      entries.push_back(std::move(converted));
    }
    if (!changed && wanted.size() == index.manifests.size()) {
      for (const oci::Descriptor& attestation : attestations) {
        ASSIGN_OR_RETURN(const oci::RawManifest child, source_.ReadManifest(attestation));
        RETURN_IF_ERROR(CopyUnchanged(child));
        RETURN_IF_ERROR(WriteChild(child));
      }
      return raw;
    }
    // Attestations are left out from here on: each names, and often signs, the digest of an image
    // that is no longer in this index, so that it would speak of nothing.
    index.media_type = oci::media_type::kOciIndex;
    index.manifests = std::move(entries);
    return oci::MakeRawManifest(index.media_type, index.ToJson());
  }

  /// All entries, or those for the platforms asked for, in the index's order.
  StatusOr<std::vector<oci::Descriptor>> WantedEntries(const oci::Index& index) const {
    if (options_.platforms.empty()) {
      return index.manifests;
    }
    std::vector<oci::Digest> chosen;
    for (const oci::Platform& platform : options_.platforms) {
      ASSIGN_OR_RETURN(const oci::Descriptor entry, index.Select(platform));
      chosen.push_back(entry.digest);
    }
    std::vector<oci::Descriptor> wanted;
    for (const oci::Descriptor& entry : index.manifests) {
      if (std::find(chosen.begin(), chosen.end(), entry.digest) != chosen.end()) {
        wanted.push_back(entry);
      }
    }
    return wanted;
  }

  StatusOr<oci::Descriptor> ConvertEntry(const oci::Descriptor& entry, int depth) {
    if (!oci::media_type::IsManifest(entry.media_type) &&
        !oci::media_type::IsIndex(entry.media_type)) {
      return MakeError(StatusCode::kUnimplemented,
                       fmt::format("the index holds {} of type \"{}\", which is no image",
                                   entry.digest.ToString(), entry.media_type));
    }
    ASSIGN_OR_RETURN(const oci::RawManifest raw, source_.ReadManifest(entry));
    auto converted = Convert(raw, Position::kInIndex, depth + 1);
    if (!converted.ok()) {
      return Annotate(converted.status(),
                      entry.platform ? entry.platform->ToString() : ShortName(entry.digest));
    }
    RETURN_IF_ERROR(WriteChild(*converted));
    oci::Descriptor to = entry;
    to.media_type = converted->media_type;
    to.digest = converted->digest;
    to.size_bytes = converted->bytes.size();
    return to;
  }

  Status WriteChild(const oci::RawManifest& manifest) {
    RETURN_IF_ERROR(FinishSending());
    return destination_.WriteManifest(manifest);
  }

  StatusOr<oci::RawManifest> ConvertManifest(const oci::RawManifest& raw, Position position) {
    ASSIGN_OR_RETURN(oci::Manifest manifest, oci::Manifest::Parse(raw.bytes, raw.media_type));
    if (!IsImageConfig(manifest.config)) {
      if (position == Position::kTop) {
        return MakeError(StatusCode::kFailedPrecondition,
                         fmt::format("{} is not a container image: its configuration is \"{}\"",
                                     source_.Name(), manifest.config.media_type));
      }
      RETURN_IF_ERROR(CopyUnchanged(raw));
      return raw;
    }
    ASSIGN_OR_RETURN(const Bytes config_json, ReadConfig(manifest.config));
    ASSIGN_OR_RETURN(const oci::ImageConfig config, oci::ImageConfig::Parse(config_json));
    std::vector<oci::Digest> diff_ids = config.diff_ids();
    if (diff_ids.size() != manifest.layers.size()) {
      return MakeError(StatusCode::kDataLoss,
                       fmt::format("the manifest has {} layers, its configuration {}",
                                   manifest.layers.size(), diff_ids.size()));
    }
    RETURN_IF_ERROR(CheckLayerTypes(manifest));
    bool changed = false;
    for (size_t i = 0; i < manifest.layers.size(); ++i) {
      auto layer = LayerOf(manifest.layers[i]);
      if (!layer.ok()) {
        return Annotate(layer.status(),
                        fmt::format("layer {} of {} ({})", i + 1, manifest.layers.size(),
                                    ShortName(manifest.layers[i].digest)));
      }
      changed = changed || layer->diff_id;
      diff_ids[i] = layer->diff_id.value_or(diff_ids[i]);
      manifest.layers[i] = std::move(layer->to);
    }
    if (!changed) {
      RETURN_IF_ERROR(SendBytes(manifest.config, config_json));
      return raw;
    }
    return EncodeImage(std::move(manifest), config.WithDiffIds(diff_ids));
  }

  StatusOr<oci::RawManifest> EncodeImage(oci::Manifest manifest, const std::string& config_json) {
    manifest.media_type = oci::media_type::kOciManifest;
    manifest.config.media_type = oci::media_type::kOciConfig;
    manifest.config.digest = oci::Digest::Of(AsBytes(config_json));
    manifest.config.size_bytes = config_json.size();
    for (oci::Descriptor& layer : manifest.layers) {
      // Reused ones may still be called Docker's: the same bytes by another name.
      layer.media_type = MediaTypeOf(options_.layer.format);
    }
    RETURN_IF_ERROR(SendBytes(manifest.config, AsBytes(config_json)));
    return oci::MakeRawManifest(manifest.media_type, manifest.ToJson());
  }

  /// Before any layer is converted, which may take long.
  static Status CheckLayerTypes(const oci::Manifest& manifest) {
    for (const oci::Descriptor& layer : manifest.layers) {
      if (!oci::media_type::IsLayer(layer.media_type)) {
        return MakeError(StatusCode::kUnimplemented,
                         fmt::format("layer {} is of type \"{}\", which cannot be converted",
                                     ShortName(layer.digest), layer.media_type));
      }
    }
    return OkStatus();
  }

  StatusOr<Bytes> ReadConfig(const oci::Descriptor& config) {
    LimitedBytes sink(oci::kMaxConfigBytes);
    RETURN_IF_ERROR(Annotate(source_.ReadBlob(config, sink), "image configuration"));
    return std::move(sink.bytes());
  }

  Status SendBytes(const oci::Descriptor& blob, ByteSpan bytes) {
    return destination_.WriteBlob(blob, oci::StreamOf(bytes));
  }

  /// All blobs of a manifest that stays as it is.
  Status CopyUnchanged(const oci::RawManifest& raw) {
    ASSIGN_OR_RETURN(const oci::Manifest manifest, oci::Manifest::Parse(raw.bytes, raw.media_type));
    std::vector<oci::Descriptor> blobs = manifest.layers;
    blobs.push_back(manifest.config);
    for (const oci::Descriptor& blob : blobs) {
      // What is fetched from elsewhere is not part of the image's own content.
      if (blob.urls.empty()) {
        RETURN_IF_ERROR(CopyBlob(blob));
      }
    }
    return OkStatus();
  }

  /// Converts a layer, or finds that this was done or is not needed.
  StatusOr<LayerResult> LayerOf(const oci::Descriptor& from) {
    if (const auto done = layers_.find(from.digest); done != layers_.end()) {
      return done->second;
    }
    const std::string part = ShortName(from.digest);
    progress_.Begin(part, from.size_bytes);
    auto result = MakeLayer(from, part);
    progress_.End(part, !result.ok()      ? "failed"
                        : result->diff_id ? "converted"
                                          : "has the format already");
    RETURN_IF_ERROR(result.status());
    layers_.emplace(from.digest, *result);
    report_.layers.push_back(
        {.from = from, .to = result->to, .reused = !result->diff_id.has_value()});
    return result;
  }

  StatusOr<LayerResult> MakeLayer(const oci::Descriptor& from, const std::string& part) {
    if (!options_.force) {
      ASSIGN_OR_RETURN(const bool lazy_already, HasFormat(source_, from, options_.layer.format));
      if (lazy_already) {
        RETURN_IF_ERROR(CopyBlob(from));
        return LayerResult{.to = from};
      }
    }
    const std::filesystem::path spool = NewSpool();
    estargz::WriteOptions layer_options = options_.layer;
    if (layer_options.spool_directory.empty()) {
      layer_options.spool_directory = spool_.path();
    }
    if (const auto own = options_.layer_files.find(from.digest);
        own != options_.layer_files.end()) {
      layer_options.prioritized_files = own->second.prioritized;
      layer_options.chunk_size_bytes_of = own->second.chunk_size_bytes_of;
    }
    ASSIGN_OR_RETURN(const estargz::WrittenLayer written,
                     ConvertLayer(source_, from, spool, layer_options, progress_, part));
    LayerResult result{.to = DescribeConverted(from, written), .diff_id = written.diff_id};
    RETURN_IF_ERROR(Send(result.to, spool));
    return result;
  }

  /// A name of its own each time: the file before may still be read.
  std::filesystem::path NewSpool() { return spool_.path() / fmt::format("{}", ++spools_made_); }

  Status CopyBlob(const oci::Descriptor& blob) {
    ASSIGN_OR_RETURN(const bool present, destination_.HasBlob(blob));
    if (present) {
      return OkStatus();
    }
    const std::filesystem::path spool = NewSpool();
    {
      ASSIGN_OR_RETURN(const UniqueFd fd,
                       RealFileSystem().Open(spool, O_WRONLY | O_CREAT | O_TRUNC, 0600));
      FdSink sink(fd.get());
      RETURN_IF_ERROR(source_.ReadBlob(blob, sink));
    }
    return Send(blob, spool);
  }

  /// Sends `spool` while the caller goes on with the next layer, and removes it then. At most one
  /// is under way: two would share the link, and hold twice the disk.
  Status Send(const oci::Descriptor& blob, const std::filesystem::path& spool) {
    RETURN_IF_ERROR(FinishSending());
    sending_ = std::async(std::launch::async, [this, blob, spool] {
      SetThreadName("layer-out");
      const Status sent = destination_.WriteBlob(
          blob, [&spool](uint64_t blob_offset) { return FileStream::Open(spool, blob_offset); });
      ::unlink(spool.c_str());
      return Annotate(sent,
                      fmt::format("{}: layer {}", destination_.Name(), ShortName(blob.digest)));
    });
    return OkStatus();
  }

  Status FinishSending() { return sending_.valid() ? sending_.get() : OkStatus(); }

  oci::ImageSource& source_;
  oci::ImageDestination& destination_;
  const ConvertOptions& options_;
  Progress& progress_;
  const TempDir spool_;
  int spools_made_ = 0;
  std::future<Status> sending_;
  std::map<oci::Digest, LayerResult> layers_;  // by the digest before
  ConvertReport report_;
};

}  // namespace

StatusOr<ConvertReport> ConvertImage(oci::ImageSource& source, oci::ImageDestination& destination,
                                     const ConvertOptions& options, Progress& progress) {
  const std::filesystem::path parent = options.spool_directory.empty()
                                           ? std::filesystem::temp_directory_path()
                                           : options.spool_directory;
  RETURN_IF_ERROR(MakeDirectories(parent, 0700));
  ASSIGN_OR_RETURN(TempDir spool, TempDir::Make(parent, "starling-convert-"));
  return Conversion(source, destination, options, progress, std::move(spool)).Run();
}

}  // namespace starling::convert
