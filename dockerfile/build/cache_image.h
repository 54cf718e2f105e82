#pragma once

#include <chrono>
#include <filesystem>
#include <map>
#include <memory>
#include <optional>
#include <stop_token>
#include <string>
#include <vector>

#include "base/progress.h"
#include "base/status.h"
#include "containerd/client.h"
#include "dockerfile/build/base_images.h"
#include "dockerfile/build/result_cache.h"
#include "oci/image_store.h"

namespace starling::dockerfile::build {

/// One step's result within an image: the first `layers` of its layers.
struct CacheRecord {
  oci::Digest key;
  size_t layers = 0;
  std::string title;
  std::vector<plan::KeyPart> parts;

  friend bool operator==(const CacheRecord&, const CacheRecord&) = default;
};

/// The directory of RUN --mount=type=cache,id=.. within an image: one of its layers is all of it.
struct CachedMount {
  std::string id;
  size_t layer = 0;  // from the lowest, 0

  friend bool operator==(const CachedMount&, const CachedMount&) = default;
};

/// What an image's layers are results of.
struct CacheRecords {
  std::vector<CacheRecord> records;
  std::vector<CachedMount> mounts;
  std::vector<std::chrono::sys_seconds> created;  // of each layer

  friend bool operator==(const CacheRecords&, const CacheRecords&) = default;
};

/// More of an image's records are not read.
inline constexpr size_t kMaxCacheRecords = 20000;
/// Nor more mounts, nor longer ids.
inline constexpr size_t kMaxCachedMounts = 1000;
inline constexpr size_t kMaxCachedMountIdBytes = 4096;

/// An image configuration with records, which are a field of their own in it: whoever runs the
/// image does not see them. Errors: of `config`.
StatusOr<std::string> WithCacheRecords(const std::string& config, const CacheRecords& records);
/// What WithCacheRecords put there; empty when nothing is. `config` may be anybody's: kDataLoss for
/// records that cannot be, such as of more layers than there are.
StatusOr<CacheRecords> CacheRecordsIn(ByteSpan config);

/// Of those results whose layers are the first ones of `tree`.
CacheRecords RecordsOf(const Tree& tree, const std::vector<CachedResult>& results);

/// The fewest trees that have all results on their way. Equal results, equal trees.
std::vector<Tree> LongestTrees(const std::vector<CachedResult>& results);

/// Results that somebody else has left in a registry or a layout, as images with records. Reads no
/// layer before it is wanted. Borrows the base images, which then know where its layers are.
/// Threads: safe once it is open.
class CacheImport {
 public:
  /// Reads the documents of what `source` stands for: an image, or an index of images. `reference`
  /// is where a snapshotter finds the layers, absent for files. Blocks. Errors: the source's;
  /// kNotFound when there are no records and no mounts.
  static StatusOr<std::unique_ptr<CacheImport>> Open(std::shared_ptr<oci::ImageSource> source,
                                                     std::optional<oci::Reference> reference,
                                                     BaseImages& bases);

  /// The result for `key`, if it is here.
  std::optional<CachedResult> Find(const oci::Digest& key) const;
  /// Makes the snapshots of a result that Find gave; layers that can be lazy stay where they are.
  /// Blocks.
  Status Bring(const CachedResult& result, containerd::Client& client,
               const std::string& snapshotter, const std::stop_token& stop, Progress& progress);

  /// Fills the empty `directory` with what the cache mount `id` had. False when the cache has none
  /// of that name. After an error the directory holds a part. Blocks.
  StatusOr<bool> FillMount(const std::string& id, const std::filesystem::path& directory,
                           const std::stop_token& stop) const;

  std::string Name() const { return source_->Name(); }

 private:
  struct Image {
    std::shared_ptr<const BaseImages::Image> image;
    CacheRecords records;
  };

  CacheImport(std::shared_ptr<oci::ImageSource> source, std::optional<oci::Reference> reference)
      : source_(std::move(source)), reference_(std::move(reference)) {}
  Status AddImage(const oci::RawManifest& raw, BaseImages& bases);

  const std::shared_ptr<oci::ImageSource> source_;
  const std::optional<oci::Reference> reference_;
  std::vector<Image> images_;
  struct Place {
    size_t image = 0;
    size_t record = 0;
  };
  std::map<oci::Digest, Place> places_;
  std::map<std::string, oci::Descriptor> mounts_;  // layers by id
};

}  // namespace starling::dockerfile::build
