/// Images that live in memory, and count what is asked of them.
#pragma once

#include <atomic>
#include <map>
#include <memory>
#include <set>
#include <string>
#include <utility>
#include <vector>

#include "base/mutex.h"
#include "oci/image_store.h"

namespace starling::testing_support {

/// Something stored under its digest, with the type that its descriptors give it.
struct StoredContent {
  std::string media_type;
  Bytes bytes;
};
using ContentByDigest = std::map<oci::Digest, StoredContent>;

inline oci::Descriptor DescriptorOf(std::string_view media_type, ByteSpan bytes) {
  return {.media_type = std::string(media_type),
          .digest = oci::Digest::Of(bytes),
          .size_bytes = bytes.size()};
}

/// An image source over a map. Fill it first, then share it. Threads: reading is safe.
class MemoryImageSource : public oci::ImageSource {
 public:
  MemoryImageSource() = default;
  MemoryImageSource(ContentByDigest content, const oci::Digest& top)
      : content_(std::move(content)), top_(top) {}

  /// Stores a blob or a manifest and describes it.
  oci::Descriptor Add(std::string_view media_type, ByteSpan bytes) {
    oci::Descriptor descriptor = DescriptorOf(media_type, bytes);
    content_[descriptor.digest] = {std::string(media_type), Bytes(bytes.begin(), bytes.end())};
    return descriptor;
  }
  oci::Descriptor Add(const oci::Manifest& manifest) {
    return Add(manifest.media_type, AsBytes(manifest.ToJson()));
  }
  oci::Descriptor Add(const oci::Index& index) {
    return Add(index.media_type, AsBytes(index.ToJson()));
  }
  void SetTop(const oci::Descriptor& top) { top_ = top.digest; }
  /// Every reading of `digest` fails with `error` from now on.
  void Fail(const oci::Digest& digest, Status error) { failures_[digest] = std::move(error); }

  int manifests_read() const { return manifests_read_; }
  int blobs_streamed() const { return blobs_streamed_; }
  int blobs_opened() const { return blobs_opened_; }
  /// Of blobs, streamed or read at random.
  uint64_t blob_bytes_read() const { return *blob_bytes_read_; }

  std::string Name() const override { return "memory"; }
  StatusOr<oci::RawManifest> ReadTopManifest() override { return ReadRaw(top_); }
  StatusOr<oci::RawManifest> ReadManifest(const oci::Descriptor& descriptor) override {
    return ReadRaw(descriptor.digest);
  }
  Status ReadBlob(const oci::Descriptor& blob, ByteSink& sink) override {
    ++blobs_streamed_;
    ASSIGN_OR_RETURN(const StoredContent* stored, Find(blob.digest));
    *blob_bytes_read_ += stored->bytes.size();
    return sink.Write(stored->bytes);
  }
  StatusOr<oci::OpenedBlob> OpenBlob(const oci::Descriptor& blob, uint64_t tail_bytes) override {
    ++blobs_opened_;
    ASSIGN_OR_RETURN(const StoredContent* stored, Find(blob.digest));
    const uint64_t tail = std::min<uint64_t>(tail_bytes, stored->bytes.size());
    *blob_bytes_read_ += tail;
    return oci::OpenedBlob{
        .reader = std::make_shared<Reader>(stored->bytes, blob_bytes_read_),
        .tail = Bytes(stored->bytes.end() - static_cast<ptrdiff_t>(tail), stored->bytes.end())};
  }
  StatusOr<std::shared_ptr<oci::BlobReader>> BlobAt(const oci::Descriptor& blob) override {
    ASSIGN_OR_RETURN(const StoredContent* stored, Find(blob.digest));
    return std::make_shared<Reader>(stored->bytes, blob_bytes_read_);
  }

 private:
  using Counter = std::shared_ptr<std::atomic<uint64_t>>;

  class Reader : public oci::BlobReader {
   public:
    Reader(Bytes bytes, Counter bytes_read)
        : bytes_(std::move(bytes)), bytes_read_(std::move(bytes_read)) {}
    uint64_t SizeBytes() const override { return bytes_.size(); }
    void Read(oci::BlobRange range, const oci::ReadOptions&, Done done) override {
      if (range.size_bytes > bytes_.size() ||
          range.blob_offset > bytes_.size() - range.size_bytes) {
        done(MakeError(StatusCode::kOutOfRange, "read past the end of the blob"));
        return;
      }
      *bytes_read_ += range.size_bytes;
      const auto begin = bytes_.begin() + static_cast<ptrdiff_t>(range.blob_offset);
      done(Bytes(begin, begin + static_cast<ptrdiff_t>(range.size_bytes)));
    }

   private:
    const Bytes bytes_;
    const Counter bytes_read_;
  };

  StatusOr<const StoredContent*> Find(const oci::Digest& digest) const {
    if (const auto failure = failures_.find(digest); failure != failures_.end()) {
      return failure->second;
    }
    const auto found = content_.find(digest);
    if (found == content_.end()) {
      return MakeError(StatusCode::kNotFound, fmt::format("no content {}", digest.ToString()));
    }
    return &found->second;
  }
  StatusOr<oci::RawManifest> ReadRaw(const oci::Digest& digest) {
    ++manifests_read_;
    ASSIGN_OR_RETURN(const StoredContent* stored, Find(digest));
    return oci::RawManifest{
        .media_type = stored->media_type, .digest = digest, .bytes = stored->bytes};
  }

  ContentByDigest content_;
  oci::Digest top_;
  std::map<oci::Digest, Status> failures_;
  std::atomic<int> manifests_read_ = 0;
  std::atomic<int> blobs_streamed_ = 0;
  std::atomic<int> blobs_opened_ = 0;
  Counter blob_bytes_read_ = std::make_shared<std::atomic<uint64_t>>(0);
};

/// An image destination over a map that refuses what breaks the contract: content that is not its
/// digest's, and manifests that name what was not written before them. Threads: safe.
class MemoryImageDestination : public oci::ImageDestination {
 public:
  /// Blobs that are there already.
  void Hold(const oci::Digest& blob) {
    MutexLock lock(mutex_);
    held_.insert(blob);
  }
  /// Blobs that another repository has.
  void OfferToMount(const oci::Digest& blob) {
    MutexLock lock(mutex_);
    mountable_.insert(blob);
  }
  /// Every WriteBlob fails with `error` once `count` have succeeded.
  void FailBlobsAfter(int count, Status error) {
    MutexLock lock(mutex_);
    blobs_until_failure_ = count;
    blob_failure_ = std::move(error);
  }

  /// What was written. Call it when no writer is left.
  const ContentByDigest& content() const { return content_; }
  /// The digest that the destination's name stands for; empty when nothing was ever named.
  const oci::Digest& top() const { return top_; }
  int blobs_written() const { return blobs_written_; }
  /// As content() may be called: manifests as they were written, the origins that were offered.
  const std::vector<oci::Digest>& manifests_in_order() const { return manifests_in_order_; }
  const std::vector<oci::BlobOrigin>& origins() const { return origins_; }
  /// What was written, to read.
  MemoryImageSource AsSource() const { return {content_, top_}; }

  std::string Name() const override { return "memory"; }
  StatusOr<bool> HasBlob(const oci::Descriptor& blob) override {
    MutexLock lock(mutex_);
    return Has(blob.digest);
  }
  StatusOr<oci::BlobArrival> PutBlob(const oci::Descriptor& blob, const OpenStream& open,
                                     const std::vector<oci::BlobOrigin>& origins) override {
    {
      MutexLock lock(mutex_);
      origins_.insert(origins_.end(), origins.begin(), origins.end());
      if (Has(blob.digest)) {
        return oci::BlobArrival::kPresent;
      }
      if (mountable_.contains(blob.digest)) {
        held_.insert(blob.digest);
        return oci::BlobArrival::kMounted;
      }
    }
    ASSIGN_OR_RETURN(const std::unique_ptr<ByteSource> stream, open(0));
    ASSIGN_OR_RETURN(Bytes bytes, ReadAll(*stream, blob.size_bytes));
    if (bytes.size() != blob.size_bytes || oci::Digest::Of(bytes) != blob.digest) {
      return MakeError(StatusCode::kDataLoss, "the blob is not what its descriptor says");
    }
    MutexLock lock(mutex_);
    if (!blob_failure_.ok() && blobs_until_failure_-- <= 0) {
      return blob_failure_;
    }
    ++blobs_written_;
    content_[blob.digest] = {blob.media_type, std::move(bytes)};
    return oci::BlobArrival::kSent;
  }
  Status WriteManifest(const oci::RawManifest& manifest) override {
    RETURN_IF_ERROR(CheckComplete(manifest));
    MutexLock lock(mutex_);
    content_[manifest.digest] = {manifest.media_type, manifest.bytes};
    manifests_in_order_.push_back(manifest.digest);
    return OkStatus();
  }
  Status WriteTopManifest(const oci::RawManifest& manifest) override {
    RETURN_IF_ERROR(WriteManifest(manifest));
    MutexLock lock(mutex_);
    top_ = manifest.digest;
    return OkStatus();
  }

 private:
  bool Has(const oci::Digest& digest) const EXCLUSIVE_LOCKS_REQUIRED(mutex_) {
    return content_.contains(digest) || held_.contains(digest);
  }
  Status CheckComplete(const oci::RawManifest& raw) {
    if (oci::Digest::Of(raw.bytes) != raw.digest) {
      return MakeError(StatusCode::kDataLoss, "the manifest is not what its digest says");
    }
    std::vector<oci::Descriptor> named;
    if (oci::media_type::IsIndex(raw.media_type)) {
      ASSIGN_OR_RETURN(named, IndexEntries(raw));
    } else {
      ASSIGN_OR_RETURN(const oci::Manifest manifest,
                       oci::Manifest::Parse(raw.bytes, raw.media_type));
      named = manifest.layers;
      named.push_back(manifest.config);
    }
    MutexLock lock(mutex_);
    for (const oci::Descriptor& descriptor : named) {
      if (!Has(descriptor.digest) && descriptor.urls.empty()) {
        return MakeError(
            StatusCode::kFailedPrecondition,
            fmt::format("{} is named before it is written", descriptor.digest.ToString()));
      }
    }
    return OkStatus();
  }
  static StatusOr<std::vector<oci::Descriptor>> IndexEntries(const oci::RawManifest& raw) {
    ASSIGN_OR_RETURN(const oci::Index index, oci::Index::Parse(raw.bytes, raw.media_type));
    return index.manifests;
  }

  Mutex mutex_;  // leaf
  // Read without the mutex only after the last writer, as content() says.
  ContentByDigest content_;
  oci::Digest top_;
  std::vector<oci::Digest> manifests_in_order_;
  std::vector<oci::BlobOrigin> origins_;
  std::set<oci::Digest> mountable_ GUARDED_BY(mutex_);
  std::set<oci::Digest> held_ GUARDED_BY(mutex_);
  int blobs_until_failure_ GUARDED_BY(mutex_) = 0;
  Status blob_failure_ GUARDED_BY(mutex_);
  std::atomic<int> blobs_written_ = 0;
};

}  // namespace starling::testing_support
