#include "transport/layout_source.h"

#include <algorithm>
#include <optional>

#include "oci/reference.h"

namespace starling::transport {
namespace {

std::string AnnotationOf(const oci::Descriptor& entry, std::string_view key) {
  const auto found = entry.annotations.find(std::string(key));
  return found == entry.annotations.end() ? std::string() : found->second;
}

bool IsNamed(const oci::Descriptor& entry, const std::string& tag) {
  if (AnnotationOf(entry, oci::annotation::kRefName) == tag) {
    return true;
  }
  const auto wanted = oci::Reference::Parse(tag);
  const auto stored = oci::Reference::Parse(AnnotationOf(entry, oci::annotation::kContainerdName));
  return wanted.ok() && stored.ok() && *wanted == *stored;
}

std::string ListTags(const oci::Index& index) {
  constexpr size_t kMaxListedBytes = 400;
  std::string list;
  for (const oci::Descriptor& entry : index.manifests) {
    const std::string tag = AnnotationOf(entry, oci::annotation::kRefName);
    if (!tag.empty() && list.size() < kMaxListedBytes) {
      list += (list.empty() ? "" : ", ") + tag;
    }
  }
  return list.empty() ? "none" : list;
}

bool HasName(const oci::Descriptor& entry) {
  return !AnnotationOf(entry, oci::annotation::kRefName).empty() ||
         !AnnotationOf(entry, oci::annotation::kContainerdName).empty();
}

}  // namespace

StatusOr<std::shared_ptr<LayoutSource>> LayoutSource::Open(std::shared_ptr<const MemberFiles> files,
                                                           const std::string& tag,
                                                           std::string name) {
  std::shared_ptr<LayoutSource> source(new LayoutSource(std::move(files), std::move(name)));
  RETURN_IF_ERROR(Annotate(source->ReadIndex(tag), source->name_));
  return source;
}

Status LayoutSource::ReadIndex(const std::string& tag) {
  ASSIGN_OR_RETURN(const FileExtent extent, files_->Find("index.json"));
  ASSIGN_OR_RETURN(const Bytes json, ReadExtent(extent, oci::kMaxManifestBytes));
  ASSIGN_OR_RETURN(index_, oci::Index::Parse(json, oci::media_type::kOciIndex));
  ASSIGN_OR_RETURN(top_, SelectTop(tag));
  return OkStatus();
}

StatusOr<oci::Descriptor> LayoutSource::SelectTop(const std::string& tag) {
  if (!tag.empty()) {
    const auto named = std::ranges::find_if(index_.manifests,
                                            [&](const auto& entry) { return IsNamed(entry, tag); });
    if (named == index_.manifests.end()) {
      return MakeError(StatusCode::kNotFound,
                       fmt::format("no image \"{}\"; there is: {}", tag, ListTags(index_)));
    }
    return *named;
  }
  std::vector<oci::Descriptor> images = index_.manifests;
  if (images.size() > 1 && images.size() <= kMaxReferrers) {
    images.clear();
    for (const oci::Descriptor& entry : index_.manifests) {
      std::optional<oci::Referrer> referrer;
      if (!HasName(entry)) {
        ASSIGN_OR_RETURN(referrer, ReferrerAt(entry));
      }
      if (!referrer) {
        images.push_back(entry);
      }
    }
  }
  if (images.size() == 1) {
    return images.front();
  }
  return MakeError(images.empty() ? StatusCode::kNotFound : StatusCode::kInvalidArgument,
                   images.empty() ? std::string("it holds no image")
                                  : fmt::format("it holds {} images; append :TAG, one of: {}",
                                                images.size(), ListTags(index_)));
}

StatusOr<std::optional<oci::Referrer>> LayoutSource::ReferrerAt(const oci::Descriptor& entry) {
  if (!oci::media_type::IsManifest(entry.media_type) &&
      !oci::media_type::IsIndex(entry.media_type)) {
    return std::optional<oci::Referrer>();
  }
  const auto raw = ReadManifest(entry);
  if (raw.status().code() == StatusCode::kNotFound) {
    return std::optional<oci::Referrer>();
  }
  RETURN_IF_ERROR(raw.status());
  return oci::ReferrerOf(*raw);
}

StatusOr<std::vector<oci::Descriptor>> LayoutSource::ReadReferrers(const oci::Digest& subject) {
  std::vector<oci::Descriptor> candidates = index_.manifests;
  const std::string tag = oci::ReferrersTagOf(subject);
  const auto listed = std::ranges::find_if(index_.manifests,
                                           [&](const auto& entry) { return IsNamed(entry, tag); });
  if (listed != index_.manifests.end()) {
    ASSIGN_OR_RETURN(const oci::RawManifest raw, ReadManifest(*listed));
    ASSIGN_OR_RETURN(const oci::Index list, oci::Index::Parse(raw.bytes, raw.media_type));
    candidates.insert(candidates.end(), list.manifests.begin(), list.manifests.end());
  }
  if (candidates.size() > kMaxReferrers) {
    return MakeError(StatusCode::kResourceExhausted,
                     fmt::format("{}: more than {} manifests", name_, kMaxReferrers));
  }
  std::vector<oci::Descriptor> found;
  for (const oci::Descriptor& entry : candidates) {
    ASSIGN_OR_RETURN(std::optional<oci::Referrer> referrer, ReferrerAt(entry));
    if (referrer && referrer->subject == subject &&
        std::ranges::find(found, entry.digest, &oci::Descriptor::digest) == found.end()) {
      found.push_back(std::move(referrer->entry));
    }
  }
  return found;
}

StatusOr<FileExtent> LayoutSource::Find(const oci::Digest& digest) {
  return files_->Find("blobs/sha256/" + digest.Hex());
}

}  // namespace starling::transport
