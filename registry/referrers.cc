#include "registry/referrers.h"

#include <algorithm>
#include <iterator>

#include "registry/pages.h"

namespace starling::registry {
namespace {

/// The configuration of an artifact that has none. Source: OCI image specification, "Guidance for
/// an Empty Descriptor".
constexpr std::string_view kEmptyType = "application/vnd.oci.empty.v1+json";
constexpr std::string_view kEmptyContent = "{}";

oci::Descriptor DescriptorOf(std::string_view media_type, ByteSpan content) {
  return {.media_type = std::string(media_type),
          .digest = oci::Digest::Of(content),
          .size_bytes = content.size()};
}

oci::RawManifest RawOf(std::string_view media_type, std::string_view json) {
  return {.media_type = std::string(media_type),
          .digest = oci::Digest::Of(AsBytes(json)),
          .bytes = ToBytes(json)};
}

/// Registries that do not know the path answer so; a few gateways answer 200 to everything.
bool IsWithoutApi(const HttpResponse& response) {
  switch (response.status) {
    case 400:
    case 404:
    case 405:
    case 406:
      return true;
    case 200:
      return !response.HeaderValue("Content-Type").starts_with(oci::media_type::kOciIndex);
    default:
      return false;
  }
}

std::string CreatedAt(const oci::Descriptor& entry) {
  const auto found = entry.annotations.find(std::string(kCreatedAnnotation));
  return found == entry.annotations.end() ? std::string() : found->second;
}

Status TooMany() {
  return MakeError(StatusCode::kResourceExhausted,
                   fmt::format("more than {} referrers", Referrers::kMaxReferrers));
}

}  // namespace

std::vector<Bytes> ContentsOf(Artifact artifact) {
  std::vector<Bytes> contents;
  contents.reserve(artifact.parts.size());
  for (ArtifactPart& part : artifact.parts) {
    contents.push_back(std::move(part.content));
  }
  return contents;
}

Status Referrers::Explain(const Status& status, const oci::Digest& subject) const {
  return Annotate(status, fmt::format("{}: referrers of {}", deps_.name, subject.ToString()));
}

StatusOr<std::vector<oci::Descriptor>> Referrers::AskApi(const oci::Digest& subject,
                                                         std::string_view type) {
  RETURN_IF_ERROR(deps_.reading.status());
  RepositoryApi& api = **deps_.reading;
  ASSIGN_OR_RETURN(Url url, Url::Parse(api.UrlOf("referrers/" + subject.ToString())));
  if (!type.empty()) {
    ASSIGN_OR_RETURN(url, url.WithQuery("artifactType", type));
  }
  std::vector<oci::Descriptor> found;
  RETURN_IF_ERROR(ReadPages(
      api, {.url = url.text(),
            .accept = std::string(oci::media_type::kOciIndex),
            .max_pages = kMaxPages,
            .retry = deps_.retry,
            .take = [&](int page, const HttpResponse& response) -> Status {
              if (page == 0 && IsWithoutApi(response)) {
                return MakeError(StatusCode::kUnimplemented, "the registry has no referrers API");
              }
              if (response.status != 200) {
                return api.ErrorOf(response, "referrers");
              }
              ASSIGN_OR_RETURN(oci::Index index,
                               oci::Index::Parse(response.body, oci::media_type::kOciIndex));
              std::ranges::move(index.manifests, std::back_inserter(found));
              return found.size() > kMaxReferrers ? TooMany() : OkStatus();
            }}));
  return found;
}

StatusOr<oci::Index> Referrers::ReadTagIndex(const oci::Digest& subject) {
  const auto raw = deps_.source(oci::ReferrersTagOf(subject))->ReadTopManifest();
  if (raw.status().code() == StatusCode::kNotFound) {
    return oci::Index{.media_type = std::string(oci::media_type::kOciIndex)};
  }
  RETURN_IF_ERROR(raw.status());
  ASSIGN_OR_RETURN(oci::Index index, oci::Index::Parse(raw->bytes, raw->media_type));
  if (index.manifests.size() > kMaxReferrers) {
    return TooMany();
  }
  return index;
}

StatusOr<std::vector<oci::Descriptor>> Referrers::List(const oci::Digest& subject,
                                                       std::string_view type) {
  StatusOr<std::vector<oci::Descriptor>> found = AskApi(subject, type);
  if (found.status().code() == StatusCode::kUnimplemented) {
    StatusOr<oci::Index> index = ReadTagIndex(subject);
    found = index.ok() ? StatusOr<std::vector<oci::Descriptor>>(std::move(index->manifests))
                       : index.status();
  }
  if (!found.ok()) {
    return Explain(found.status(), subject);
  }
  // Not every registry filters, and a tag's index never does.
  std::erase_if(*found, [type](const oci::Descriptor& e) {
    return !type.empty() && e.artifact_type != type;
  });
  return found;
}

StatusOr<oci::Manifest> Referrers::NewestManifest(const oci::Digest& subject,
                                                  std::string_view type) {
  ASSIGN_OR_RETURN(std::vector<oci::Descriptor> found, List(subject, type));
  if (found.empty()) {
    return Explain(MakeError(StatusCode::kNotFound, fmt::format("none is of type {}", type)),
                   subject);
  }
  // The last of equals, because clients append to the tag's index.
  std::ranges::reverse(found);
  const auto newest = std::ranges::max_element(found, {}, CreatedAt);
  auto manifest = ReadManifest(subject, *newest, type);
  return manifest.ok() ? std::move(manifest) : Explain(manifest.status(), subject);
}

StatusOr<Artifact> Referrers::ReadNewest(const oci::Digest& subject, std::string_view type,
                                         uint64_t limit_bytes) {
  ASSIGN_OR_RETURN(const oci::Manifest manifest, NewestManifest(subject, type));
  auto artifact = ReadParts(subject, manifest, limit_bytes);
  return artifact.ok() ? std::move(artifact) : Explain(artifact.status(), subject);
}

StatusOr<oci::Manifest> Referrers::ReadManifest(const oci::Digest& subject,
                                                const oci::Descriptor& entry,
                                                std::string_view type) {
  const auto source = deps_.source(oci::ReferrersTagOf(subject));
  ASSIGN_OR_RETURN(const oci::RawManifest raw, source->ReadManifest(entry));
  ASSIGN_OR_RETURN(oci::Manifest manifest, oci::Manifest::Parse(raw.bytes, raw.media_type));
  if (manifest.artifact_type != type || !manifest.subject || manifest.subject->digest != subject ||
      manifest.layers.empty()) {
    return MakeError(StatusCode::kDataLoss,
                     fmt::format("{} is not what it was listed as", entry.digest.ToString()));
  }
  if (manifest.layers.size() > kMaxParts) {
    return MakeError(
        StatusCode::kResourceExhausted,
        fmt::format("{} has {} blobs", entry.digest.ToString(), manifest.layers.size()));
  }
  return manifest;
}

StatusOr<Artifact> Referrers::ReadParts(const oci::Digest& subject, const oci::Manifest& manifest,
                                        uint64_t limit_bytes) {
  uint64_t left_bytes = limit_bytes;
  for (const oci::Descriptor& blob : manifest.layers) {
    if (blob.size_bytes > left_bytes) {
      return MakeError(StatusCode::kResourceExhausted,
                       fmt::format("the newest {} holds more than the {} bytes that are read",
                                   manifest.artifact_type, limit_bytes));
    }
    left_bytes -= blob.size_bytes;
  }
  const auto source = deps_.source(oci::ReferrersTagOf(subject));
  Artifact artifact{.type = manifest.artifact_type, .annotations = manifest.annotations};
  for (const oci::Descriptor& blob : manifest.layers) {
    BytesSink sink;
    if (blob.size_bytes > 0) {
      RETURN_IF_ERROR(source->ReadBlob(blob, sink));
    }
    artifact.parts.push_back({.content = std::move(sink.bytes()), .annotations = blob.annotations});
  }
  return artifact;
}

StatusOr<oci::Descriptor> Referrers::Attach(const oci::Descriptor& subject,
                                            const Artifact& artifact) {
  const oci::Descriptor config = DescriptorOf(kEmptyType, AsBytes(kEmptyContent));
  const auto destination = deps_.destination(oci::ReferrersTagOf(subject.digest));
  RETURN_IF_ERROR(destination->WriteBlob(config, oci::StreamOf(AsBytes(kEmptyContent))));
  std::vector<oci::Descriptor> blobs;
  for (const ArtifactPart& part : artifact.parts) {
    oci::Descriptor blob = DescriptorOf(artifact.type, part.content);
    blob.annotations = part.annotations;
    RETURN_IF_ERROR(destination->WriteBlob(blob, oci::StreamOf(part.content)));
    blobs.push_back(std::move(blob));
  }
  const oci::Manifest manifest{.media_type = std::string(oci::media_type::kOciManifest),
                               .config = config,
                               .layers = std::move(blobs),
                               .annotations = artifact.annotations,
                               .subject = oci::Descriptor{.media_type = subject.media_type,
                                                          .digest = subject.digest,
                                                          .size_bytes = subject.size_bytes},
                               .artifact_type = artifact.type};
  const oci::RawManifest raw = RawOf(manifest.media_type, manifest.ToJson());
  RETURN_IF_ERROR(destination->WriteManifest(raw));
  ASSIGN_OR_RETURN(const std::optional<oci::Referrer> referrer, oci::ReferrerOf(raw));
  return referrer->entry;
}

Status Referrers::Publish(const oci::Referrer& referrer) {
  const Status added = AddToTagIndex(referrer.subject, referrer.entry);
  return added.ok() ? added : Explain(added, referrer.subject);
}

Status Referrers::AddToTagIndex(const oci::Digest& subject, const oci::Descriptor& entry) {
  ASSIGN_OR_RETURN(oci::Index index, ReadTagIndex(subject));
  if (std::ranges::find(index.manifests, entry.digest, &oci::Descriptor::digest) !=
      index.manifests.end()) {
    return OkStatus();
  }
  if (index.manifests.size() == kMaxReferrers) {
    return TooMany();
  }
  index.manifests.push_back(entry);
  return deps_.destination(oci::ReferrersTagOf(subject))
      ->WriteTopManifest(RawOf(index.media_type, index.ToJson()));
}

}  // namespace starling::registry
