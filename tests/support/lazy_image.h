/// Layers in memory as a registry would hold them, for tests that read lazily.
#pragma once

#include <map>
#include <memory>
#include <string>
#include <utility>

#include "base/mutex.h"
#include "estargz/writer.h"
#include "oci/image_store.h"
#include "tests/support/memory_blob.h"

namespace starling::testing_support {

struct LazyLayerBlob {
  Bytes blob;
  oci::Digest digest;
  oci::Digest toc;
};

/// An eStargz layer of `tar`.
inline StatusOr<LazyLayerBlob> MakeLazyLayer(std::string_view tar, uint64_t chunk_size_bytes) {
  SpanSource source(AsBytes(tar));
  BytesSink sink;
  ASSIGN_OR_RETURN(
      const estargz::WrittenLayer written,
      estargz::WriteLayer(source, sink, {.chunk_size_bytes = chunk_size_bytes, .threads = 1}));
  return LazyLayerBlob{
      .blob = std::move(sink.bytes()), .digest = written.digest, .toc = written.toc_digest};
}

/// An image whose blobs are MemoryBlobs, one for each digest. Threads: safe.
class LazyImage : public oci::ImageSource {
 public:
  std::shared_ptr<MemoryBlob> Add(const LazyLayerBlob& layer) {
    const auto blob = std::make_shared<MemoryBlob>(layer.blob);
    MutexLock lock(mutex_);
    blobs_[layer.digest] = blob;
    return blob;
  }
  /// The image's only manifest, under any name. Before it is shared.
  void SetManifest(oci::RawManifest manifest) { manifest_ = std::move(manifest); }
  int manifests_read() const {
    MutexLock lock(mutex_);
    return manifests_read_;
  }
  /// Waits until that many blobs were opened.
  void WaitUntilOpened(int count) {
    MutexLock lock(mutex_);
    while (opened_ < count) {
      changed_.Wait(mutex_);
    }
  }
  /// Opens with a tail; requests of the blobs themselves are counted by them.
  int opened() const {
    MutexLock lock(mutex_);
    return opened_;
  }

  std::string Name() const override { return "lazy"; }
  StatusOr<oci::RawManifest> ReadTopManifest() override { return Manifest(); }
  StatusOr<oci::RawManifest> ReadManifest(const oci::Descriptor&) override { return Manifest(); }
  Status ReadBlob(const oci::Descriptor&, ByteSink&) override { return NoManifest(); }
  StatusOr<oci::OpenedBlob> OpenBlob(const oci::Descriptor& blob, uint64_t tail_bytes) override {
    ASSIGN_OR_RETURN(const std::shared_ptr<MemoryBlob> found, Find(blob.digest));
    {
      MutexLock lock(mutex_);
      ++opened_;
    }
    changed_.NotifyAll();
    return oci::OpenedBlob{.reader = found, .tail = found->Tail(tail_bytes)};
  }
  StatusOr<std::shared_ptr<oci::BlobReader>> BlobAt(const oci::Descriptor& blob) override {
    return Find(blob.digest);
  }

 private:
  static Status NoManifest() {
    return MakeError(StatusCode::kUnimplemented, "only blobs are read here");
  }
  StatusOr<oci::RawManifest> Manifest() {
    MutexLock lock(mutex_);
    ++manifests_read_;
    if (manifest_.bytes.empty()) {
      return NoManifest();
    }
    return manifest_;
  }
  StatusOr<std::shared_ptr<MemoryBlob>> Find(const oci::Digest& digest) const {
    MutexLock lock(mutex_);
    const auto found = blobs_.find(digest);
    if (found == blobs_.end()) {
      return MakeError(StatusCode::kNotFound, "no such blob");
    }
    return found->second;
  }

  mutable Mutex mutex_;  // leaf
  Condition changed_;
  oci::RawManifest manifest_;
  int manifests_read_ GUARDED_BY(mutex_) = 0;
  std::map<oci::Digest, std::shared_ptr<MemoryBlob>> blobs_ GUARDED_BY(mutex_);
  int opened_ GUARDED_BY(mutex_) = 0;
};

}  // namespace starling::testing_support
