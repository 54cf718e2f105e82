#include "transport/layout_source.h"

#include "oci/reference.h"

namespace starling::transport {
namespace {

// The full reference of an image in what `ctr image export` and Docker write.
constexpr const char* kContainerdName = "io.containerd.image.name";

std::string AnnotationOf(const oci::Descriptor& entry, std::string_view key) {
  const auto found = entry.annotations.find(std::string(key));
  return found == entry.annotations.end() ? std::string() : found->second;
}

bool IsNamed(const oci::Descriptor& entry, const std::string& tag) {
  if (AnnotationOf(entry, oci::annotation::kRefName) == tag) {
    return true;
  }
  const auto wanted = oci::Reference::Parse(tag);
  const auto stored = oci::Reference::Parse(AnnotationOf(entry, kContainerdName));
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

StatusOr<oci::Descriptor> SelectTop(const oci::Index& index, const std::string& tag) {
  if (tag.empty()) {
    if (index.manifests.size() == 1) {
      return index.manifests.front();
    }
    return MakeError(index.manifests.empty() ? StatusCode::kNotFound : StatusCode::kInvalidArgument,
                     index.manifests.empty()
                         ? std::string("it holds no image")
                         : fmt::format("it holds {} images; append :TAG, one of: {}",
                                       index.manifests.size(), ListTags(index)));
  }
  for (const oci::Descriptor& entry : index.manifests) {
    if (IsNamed(entry, tag)) {
      return entry;
    }
  }
  return MakeError(StatusCode::kNotFound,
                   fmt::format("no image \"{}\"; there is: {}", tag, ListTags(index)));
}

}  // namespace

StatusOr<std::shared_ptr<LayoutSource>> LayoutSource::Open(std::shared_ptr<const MemberFiles> files,
                                                           const std::string& tag,
                                                           std::string name) {
  const auto find_top = [&]() -> StatusOr<oci::Descriptor> {
    ASSIGN_OR_RETURN(const FileExtent extent, files->Find("index.json"));
    ASSIGN_OR_RETURN(const Bytes json, ReadExtent(extent, oci::kMaxManifestBytes));
    ASSIGN_OR_RETURN(const oci::Index index, oci::Index::Parse(json, oci::media_type::kOciIndex));
    return SelectTop(index, tag);
  };
  auto top = find_top();
  if (!top.ok()) {
    return Annotate(top.status(), name);
  }
  return std::shared_ptr<LayoutSource>(
      new LayoutSource(std::move(files), *std::move(top), std::move(name)));
}

StatusOr<FileExtent> LayoutSource::Find(const oci::Digest& digest) {
  return files_->Find("blobs/sha256/" + digest.Hex());
}

}  // namespace starling::transport
