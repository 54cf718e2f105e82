#include "containerd/content_source.h"

#include <algorithm>

#include "containerd/content_labels.h"

namespace starling::containerd {
namespace {

constexpr uint64_t kMaxOrigins = 100;

/// Takes `limit_bytes` and refuses more.
class FirstBytes : public ByteSink {
 public:
  explicit FirstBytes(uint64_t limit_bytes) : limit_bytes_(limit_bytes) {}
  Status Write(ByteSpan part) override {
    const size_t taken = std::min<uint64_t>(part.size(), limit_bytes_ - bytes_.size());
    bytes_.insert(bytes_.end(), part.begin(), part.begin() + static_cast<ptrdiff_t>(taken));
    return is_full() ? MakeError(StatusCode::kCancelled, "that is enough") : OkStatus();
  }
  bool is_full() const { return bytes_.size() == limit_bytes_; }
  Bytes& bytes() { return bytes_; }

 private:
  const uint64_t limit_bytes_;
  Bytes bytes_;
};

class ContentReader : public oci::BlobReader {
 public:
  ContentReader(Client& client, const oci::Descriptor& blob) : client_(client), blob_(blob) {}

  uint64_t SizeBytes() const override { return blob_.size_bytes; }

  void Read(oci::BlobRange range, const oci::ReadOptions&, Done done) override {
    done(ReadNow(range));
  }

 private:
  StatusOr<Bytes> ReadNow(oci::BlobRange range) {
    if (range.size_bytes > blob_.size_bytes ||
        range.blob_offset > blob_.size_bytes - range.size_bytes) {
      return MakeError(StatusCode::kOutOfRange,
                       fmt::format("{} bytes at {} of a blob of {}", range.size_bytes,
                                   range.blob_offset, blob_.size_bytes));
    }
    if (range.size_bytes == 0) {
      return Bytes();
    }
    FirstBytes sink(range.size_bytes);
    const Status streamed = client_.StreamContent(blob_.digest, range.blob_offset, sink);
    if (sink.is_full()) {
      return std::move(sink.bytes());
    }
    RETURN_IF_ERROR(streamed);
    return MakeError(StatusCode::kDataLoss,
                     fmt::format("containerd: blob {} ends early", blob_.digest.ToString()));
  }

  Client& client_;
  const oci::Descriptor blob_;
};

}  // namespace

StatusOr<oci::RawManifest> ContentSource::ReadTopManifest() {
  ASSIGN_OR_RETURN(const oci::Descriptor target, client_.GetImage(name_));
  return ReadManifest(target);
}

StatusOr<oci::RawManifest> ContentSource::ReadManifest(const oci::Descriptor& descriptor) {
  if (descriptor.size_bytes > oci::kMaxManifestBytes) {
    return MakeError(
        StatusCode::kResourceExhausted,
        fmt::format("{}: manifest {} has {} bytes, at most {} are read", name_,
                    descriptor.digest.ToString(), descriptor.size_bytes, oci::kMaxManifestBytes));
  }
  auto bytes = client_.ReadContent(descriptor);
  if (bytes.status().code() == StatusCode::kNotFound) {
    return MakeError(
        StatusCode::kNotFound,
        fmt::format("{}: containerd does not hold the manifest {}{}; name a --platform that was "
                    "pulled, or copy from the registry (starling copy)",
                    name_, descriptor.digest.ToString(),
                    descriptor.platform ? " for " + descriptor.platform->ToString() : ""));
  }
  RETURN_IF_ERROR(bytes.status());
  return oci::RawManifest{
      .media_type = descriptor.media_type, .digest = descriptor.digest, .bytes = *std::move(bytes)};
}

Status ContentSource::ReadBlob(const oci::Descriptor& blob, ByteSink& sink) {
  oci::DigestingSink digesting(sink);
  RETURN_IF_ERROR(ReadBlobFrom(blob, 0, digesting));
  if (digesting.size_bytes() != blob.size_bytes || digesting.Finish() != blob.digest) {
    return MakeError(
        StatusCode::kDataLoss,
        fmt::format("containerd: blob {} is not what its digest says", blob.digest.ToString()));
  }
  return OkStatus();
}

Status ContentSource::ReadBlobFrom(const oci::Descriptor& blob, uint64_t blob_offset,
                                   ByteSink& sink) {
  if (blob_offset >= blob.size_bytes && blob_offset > 0) {
    return OkStatus();  // containerd refuses to read from a blob's end
  }
  const Status streamed = client_.StreamContent(blob.digest, blob_offset, sink);
  if (streamed.code() == StatusCode::kNotFound) {
    return MakeError(StatusCode::kNotFound,
                     fmt::format("{}: containerd does not hold blob {}, as it pulled the layer "
                                 "lazily; copy from the registry (starling copy)",
                                 name_, blob.digest.ToString()));
  }
  return streamed;
}

StatusOr<oci::OpenedBlob> ContentSource::OpenBlob(const oci::Descriptor& blob,
                                                  uint64_t tail_bytes) {
  oci::OpenedBlob opened;
  ASSIGN_OR_RETURN(opened.reader, BlobAt(blob));
  const uint64_t tail = std::min(tail_bytes, blob.size_bytes);
  ASSIGN_OR_RETURN(opened.tail, opened.reader->ReadAndWait(
                                    {.blob_offset = blob.size_bytes - tail, .size_bytes = tail}));
  return opened;
}

StatusOr<std::shared_ptr<oci::BlobReader>> ContentSource::BlobAt(const oci::Descriptor& blob) {
  if (blob.size_bytes == 0) {
    return MakeError(
        StatusCode::kInvalidArgument,
        fmt::format("{}: blob {}: its size must be known", name_, blob.digest.ToString()));
  }
  return std::make_shared<ContentReader>(client_, blob);
}

std::vector<oci::BlobOrigin> ContentSource::OriginsOf(const oci::Descriptor& blob) {
  std::vector<oci::BlobOrigin> origins;
  const auto labels = client_.ContentLabels(blob.digest);
  if (!labels.ok()) {
    return origins;  // what is not here is said when it is read
  }
  for (const auto& [key, value] : *labels) {
    if (!key.starts_with(kOriginLabelPrefix)) {
      continue;
    }
    const std::string registry = key.substr(kOriginLabelPrefix.size());
    // Several repositories stand between commas.
    for (size_t begin = 0; begin < value.size() && origins.size() < kMaxOrigins;) {
      const size_t end = std::min(value.find(',', begin), value.size());
      if (end > begin) {
        origins.push_back({.registry = registry, .repository = value.substr(begin, end - begin)});
      }
      begin = end + 1;
    }
  }
  return origins;
}

}  // namespace starling::containerd
