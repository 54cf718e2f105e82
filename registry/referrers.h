#pragma once

#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "oci/image_store.h"
#include "oci/referrer.h"
#include "registry/repository_api.h"

namespace starling::registry {

/// One blob of an artifact.
struct ArtifactPart {
  Bytes content;
  oci::Annotations annotations;
};

/// Something small that is said about an image: blobs, one at least, and their type.
struct Artifact {
  std::string type;  // of the artifact and of its blobs
  std::vector<ArtifactPart> parts;
  oci::Annotations annotations;
};

/// Of its parts, in their order.
std::vector<Bytes> ContentsOf(Artifact artifact);

/// The artifacts of one repository that name an image of it as their subject. A registry without
/// the referrers API keeps them in an index under the tag sha256-<hex>, which clients update.
/// Source: OCI distribution specification 1.1, "Listing Referrers", "Referrers Tag Schema",
/// "Pushing Manifests with Subject".
/// Threads: safe. Calls block, so not on the transport's thread.
class Referrers {
 public:
  /// More referrers of one image are not looked at.
  static constexpr size_t kMaxReferrers = 1000;
  static constexpr int kMaxPages = 32;
  static constexpr size_t kMaxParts = 1000;  // of one artifact

  struct Dependencies {
    std::string name;                                  // of the repository, for messages
    StatusOr<std::shared_ptr<RepositoryApi>> reading;  // with a token that may pull
    std::function<RetryPolicy()> retry;                // of a request that starts now
    /// The repository at a tag.
    std::function<std::shared_ptr<oci::ImageSource>(const std::string& tag)> source;
    std::function<std::shared_ptr<oci::ImageDestination>(const std::string& tag)> destination;
  };
  explicit Referrers(Dependencies dependencies) : deps_(std::move(dependencies)) {}

  /// The manifests of artifacts of `type`, or of any if that is empty, about `subject`, as the
  /// registry orders them; empty when there are none. Errors: kResourceExhausted beyond the limits;
  /// else the registry's.
  StatusOr<std::vector<oci::Descriptor>> List(const oci::Digest& subject, std::string_view type);
  /// The manifest of the newest artifact of `type` about `subject`, by its annotation "created",
  /// then the registry's order. Errors: kNotFound when there is none; kResourceExhausted when it
  /// has more than kMaxParts parts; kDataLoss when it is not what it was listed as.
  StatusOr<oci::Manifest> NewestManifest(const oci::Digest& subject, std::string_view type);
  /// The same artifact with its parts. Errors also: kResourceExhausted when its parts are together
  /// larger than `limit_bytes`.
  StatusOr<Artifact> ReadNewest(const oci::Digest& subject, std::string_view type,
                                uint64_t limit_bytes);
  /// Stores `artifact` about `subject`, which names a manifest of the repository, and returns its
  /// manifest's descriptor. The same artifact again changes nothing.
  StatusOr<oci::Descriptor> Attach(const oci::Descriptor& subject, const Artifact& artifact);
  /// Lists a referrer that was stored in a registry without referrers API. The tag's index is read,
  /// changed and written: of two clients that do so at the same time one may undo the other's
  /// entry, since registries offer no condition on a write.
  Status Publish(const oci::Referrer& referrer);

 private:
  /// kUnimplemented when the registry has no referrers API.
  StatusOr<std::vector<oci::Descriptor>> AskApi(const oci::Digest& subject, std::string_view type);
  /// Empty when there is no such tag.
  StatusOr<oci::Index> ReadTagIndex(const oci::Digest& subject);
  Status AddToTagIndex(const oci::Digest& subject, const oci::Descriptor& entry);
  StatusOr<oci::Manifest> ReadManifest(const oci::Digest& subject, const oci::Descriptor& entry,
                                       std::string_view type);
  StatusOr<Artifact> ReadParts(const oci::Digest& subject, const oci::Manifest& manifest,
                               uint64_t limit_bytes);
  Status Explain(const Status& status, const oci::Digest& subject) const;

  const Dependencies deps_;
};

/// When an artifact was made, as RFC 3339 text. Source: OCI image specification, "Annotations".
inline constexpr std::string_view kCreatedAnnotation = "org.opencontainers.image.created";

}  // namespace starling::registry
