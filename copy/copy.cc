#include "copy/copy.h"

#include <algorithm>
#include <set>
#include <string>
#include <utility>
#include <vector>

#include "base/executor.h"
#include "base/mutex.h"
#include "copy/blob_pull.h"

namespace starling::copy {
namespace {

/// Tells of the bytes that pass for the first time: a stream may be opened again before its end.
class CountedStream : public ByteSource {
 public:
  CountedStream(std::unique_ptr<ByteSource> stream, uint64_t blob_offset, uint64_t& furthest_bytes,
                Progress& progress, const std::string& part)
      : stream_(std::move(stream)),
        blob_offset_(blob_offset),
        furthest_bytes_(furthest_bytes),
        progress_(progress),
        part_(part) {}

  StatusOr<size_t> Read(std::span<std::byte> out) override {
    ASSIGN_OR_RETURN(const size_t read_bytes, stream_->Read(out));
    blob_offset_ += read_bytes;
    if (blob_offset_ > furthest_bytes_) {
      progress_.Advance(part_, blob_offset_ - std::exchange(furthest_bytes_, blob_offset_));
    }
    return read_bytes;
  }

 private:
  const std::unique_ptr<ByteSource> stream_;
  uint64_t blob_offset_;
  uint64_t& furthest_bytes_;
  Progress& progress_;
  const std::string& part_;
};

std::string ShortName(const oci::Digest& digest) { return digest.ToString().substr(0, 19); }

/// One call of CopyImage.
class Copy {
 public:
  Copy(oci::ImageSource& source, oci::ImageDestination& destination, const CopyOptions& options,
       Progress& progress)
      : source_(source), destination_(destination), options_(options), progress_(progress) {}

  StatusOr<CopyReport> Run() {
    ASSIGN_OR_RETURN(const oci::RawManifest top, ReadTop());
    RETURN_IF_ERROR(Annotate(Collect(top, 0), source_.Name()));
    if (options_.referrers) {
      RETURN_IF_ERROR(CollectReferrers());
    }
    RETURN_IF_ERROR(CopyBlobs(blobs_));
    Status written = WriteManifests(top);
    if (MayMissBlobs(written) && !mounted_ahead_.empty()) {
      // The registry may have collected meanwhile what no manifest named yet.
      RETURN_IF_ERROR(CopyBlobs(mounted_ahead_));
      written = WriteManifests(top);
    } else {
      report_.mounted_blobs += mounted_ahead_.size();
    }
    RETURN_IF_ERROR(written);
    report_.target = top.digest;
    report_.manifests = manifests_.size();
    return report_;
  }

 private:
  StatusOr<oci::RawManifest> ReadTop() {
    oci::RawManifest top;
    if (options_.platform) {
      ASSIGN_OR_RETURN(oci::SelectedImage image, oci::SelectImage(source_, *options_.platform));
      top = std::move(image.raw_manifest);
    } else {
      ASSIGN_OR_RETURN(top, source_.ReadTopManifest());
    }
    ASSIGN_OR_RETURN(top.media_type, oci::DetectMediaType(top.bytes, top.media_type));
    return top;
  }

  /// Takes a manifest and all that it names, those first.
  Status Collect(const oci::RawManifest& raw, int depth) {
    if (!seen_manifests_.insert(raw.digest).second) {
      return OkStatus();
    }
    manifests_bytes_ += raw.bytes.size();
    if (seen_manifests_.size() > kMaxManifests || manifests_bytes_ > kMaxManifestsBytes) {
      return MakeError(StatusCode::kResourceExhausted,
                       fmt::format("more than {} manifests, or {} MiB of them", kMaxManifests,
                                   kMaxManifestsBytes >> 20));
    }
    RETURN_IF_ERROR(oci::media_type::IsIndex(raw.media_type) ? CollectIndex(raw, depth)
                                                             : CollectImage(raw));
    manifests_.push_back(raw);
    return OkStatus();
  }

  Status CollectIndex(const oci::RawManifest& raw, int depth) {
    if (depth >= oci::kMaxIndexDepth) {
      return MakeError(StatusCode::kDataLoss,
                       fmt::format("indexes nest more than {} deep", oci::kMaxIndexDepth));
    }
    ASSIGN_OR_RETURN(const oci::Index index, oci::Index::Parse(raw.bytes, raw.media_type));
    for (const oci::Descriptor& entry : index.manifests) {
      if (!oci::media_type::IsManifest(entry.media_type) &&
          !oci::media_type::IsIndex(entry.media_type)) {
        return MakeError(StatusCode::kUnimplemented,
                         fmt::format("the index holds {} of type \"{}\", which is no image",
                                     entry.digest.ToString(), entry.media_type));
      }
      ASSIGN_OR_RETURN(const oci::RawManifest child, Read(entry));
      RETURN_IF_ERROR(Collect(child, depth + 1));
    }
    return OkStatus();
  }

  StatusOr<oci::RawManifest> Read(const oci::Descriptor& entry) {
    ASSIGN_OR_RETURN(oci::RawManifest raw, source_.ReadManifest(entry));
    ASSIGN_OR_RETURN(raw.media_type, oci::DetectMediaType(raw.bytes, raw.media_type));
    return raw;
  }

  Status CollectImage(const oci::RawManifest& raw) {
    ASSIGN_OR_RETURN(const oci::Manifest manifest, oci::Manifest::Parse(raw.bytes, raw.media_type));
    AddBlob(manifest.config);
    for (const oci::Descriptor& layer : manifest.layers) {
      const bool is_elsewhere = !layer.urls.empty();
      if (!is_elsewhere && !oci::media_type::IsForeignLayer(layer.media_type)) {
        AddBlob(layer);
        continue;
      }
      if (!options_.allow_foreign) {
        return MakeError(
            StatusCode::kFailedPrecondition,
            fmt::format("layer {} of type \"{}\" is not distributed with its image; "
                        "--allow-foreign copies the image{}",
                        layer.digest.ToString(), layer.media_type,
                        is_elsewhere ? fmt::format(" and leaves it at {}", layer.urls.front())
                                     : " with it"));
      }
      if (is_elsewhere) {
        ++report_.foreign_layers;
      } else {
        AddBlob(layer);
      }
    }
    return OkStatus();
  }

  void AddBlob(const oci::Descriptor& blob) {
    if (!seen_blobs_.insert(blob.digest).second) {
      return;
    }
    (options_.mounted.contains(blob.digest) ? mounted_ahead_ : blobs_).push_back(blob);
  }

  /// Of all manifests so far, and of what that finds.
  Status CollectReferrers() {
    size_t begin = 0;
    for (int depth = 0; depth < kMaxReferrerDepth && begin < manifests_.size(); ++depth) {
      const size_t end = manifests_.size();
      for (; begin < end; ++begin) {
        const oci::Digest subject = manifests_[begin].digest;
        ASSIGN_OR_RETURN(const std::vector<oci::Descriptor> found, source_.ReadReferrers(subject));
        for (const oci::Descriptor& entry : found) {
          const size_t known = manifests_.size();
          ASSIGN_OR_RETURN(const oci::RawManifest raw, Read(entry));
          RETURN_IF_ERROR(Annotate(Collect(raw, 0), source_.Name()));
          report_.referrers += manifests_.size() > known ? 1 : 0;
        }
      }
    }
    return OkStatus();
  }

  Status WriteManifests(const oci::RawManifest& top) {
    for (const oci::RawManifest& manifest : manifests_) {
      if (manifest.digest != top.digest) {
        RETURN_IF_ERROR(destination_.WriteManifest(manifest));
      }
    }
    return destination_.WriteTopManifest(top);
  }

  /// Registries answer MANIFEST_BLOB_UNKNOWN with 400 or 404.
  static bool MayMissBlobs(const Status& written) {
    return written.code() == StatusCode::kFailedPrecondition ||
           written.code() == StatusCode::kNotFound;
  }

  Status CopyBlobs(const std::vector<oci::Descriptor>& blobs) {
    {
      ThreadPool workers("blob-copy", std::max<size_t>(1, options_.blobs_at_once));
      for (const oci::Descriptor& blob : blobs) {
        workers.Post([this, &blob] { CopyBlobUnlessFailed(blob); });
      }
    }
    MutexLock lock(mutex_);
    return failure_;
  }

  void CopyBlobUnlessFailed(const oci::Descriptor& blob) {
    {
      MutexLock lock(mutex_);
      if (!failure_.ok()) {
        return;
      }
    }
    const std::string part = ShortName(blob.digest);
    progress_.Begin(part, blob.size_bytes);
    uint64_t furthest_bytes = 0;
    const auto open = [&](uint64_t blob_offset) -> StatusOr<std::unique_ptr<ByteSource>> {
      return std::make_unique<CountedStream>(std::make_unique<BlobPull>(source_, blob, blob_offset),
                                             blob_offset, furthest_bytes, progress_, part);
    };
    const auto arrival = destination_.PutBlob(blob, open, source_.OriginsOf(blob));
    progress_.End(part, !arrival.ok() ? "failed" : OutcomeOf(*arrival));
    MutexLock lock(mutex_);
    if (arrival.ok()) {
      Count(*arrival, blob);
    } else if (failure_.ok()) {
      failure_ = arrival.status();
    }
  }

  static const char* OutcomeOf(oci::BlobArrival arrival) {
    switch (arrival) {
      case oci::BlobArrival::kPresent:
        return "already there";
      case oci::BlobArrival::kMounted:
        return "mounted";
      case oci::BlobArrival::kSent:
        break;
    }
    return "sent";
  }

  void Count(oci::BlobArrival arrival, const oci::Descriptor& blob)
      EXCLUSIVE_LOCKS_REQUIRED(mutex_) {
    switch (arrival) {
      case oci::BlobArrival::kPresent:
        ++report_.present_blobs;
        break;
      case oci::BlobArrival::kMounted:
        ++report_.mounted_blobs;
        break;
      case oci::BlobArrival::kSent:
        ++report_.sent_blobs;
        report_.sent_bytes += blob.size_bytes;
        break;
    }
  }

  oci::ImageSource& source_;
  oci::ImageDestination& destination_;
  const CopyOptions& options_;
  Progress& progress_;
  std::set<oci::Digest> seen_manifests_;
  std::set<oci::Digest> seen_blobs_;
  uint64_t manifests_bytes_ = 0;
  std::vector<oci::RawManifest> manifests_;  // each after those that it names
  std::vector<oci::Descriptor> blobs_;
  std::vector<oci::Descriptor> mounted_ahead_;
  Mutex mutex_;                        // leaf
  Status failure_ GUARDED_BY(mutex_);  // the first
  CopyReport report_;                  // by the workers with the mutex
};

}  // namespace

StatusOr<CopyReport> CopyImage(oci::ImageSource& source, oci::ImageDestination& destination,
                               const CopyOptions& options, Progress& progress) {
  return Copy(source, destination, options, progress).Run();
}

}  // namespace starling::copy
