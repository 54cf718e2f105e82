#include "oci/manifest.h"

#include <algorithm>

#include "oci/json_fields.h"

namespace starling::oci {
namespace {

constexpr std::string_view kDockerSchema1Prefix =
    "application/vnd.docker.distribution.manifest.v1+";

Status Malformed(std::string_view problem) { return MakeError(StatusCode::kDataLoss, problem); }

StatusOr<Annotations> ParseAnnotations(const Json& object) {
  Annotations annotations;
  const Json* field = FindField(object, "annotations");
  if (field == nullptr) {
    return annotations;
  }
  if (!field->is_object()) {
    return Malformed("\"annotations\" is not an object");
  }
  for (const auto& [key, value] : field->items()) {
    if (!value.is_string()) {
      return Malformed(fmt::format("annotation \"{}\" is not a text", key));
    }
    annotations[key] = value.get<std::string>();
  }
  return annotations;
}

StatusOr<std::optional<Platform>> ParsePlatform(const Json& object) {
  const Json* field = FindField(object, "platform");
  if (field == nullptr) {
    return std::optional<Platform>();
  }
  if (!field->is_object()) {
    return Malformed("\"platform\" is not an object");
  }
  Platform platform;
  ASSIGN_OR_RETURN(platform.os, TextField(*field, "os"));
  ASSIGN_OR_RETURN(platform.architecture, TextField(*field, "architecture"));
  ASSIGN_OR_RETURN(platform.variant, TextField(*field, "variant"));
  ASSIGN_OR_RETURN(platform.os_version, TextField(*field, "os.version"));
  return std::optional<Platform>(std::move(platform));
}

StatusOr<Descriptor> ParseDescriptor(const Json& object) {
  if (!object.is_object()) {
    return Malformed("a descriptor is not an object");
  }
  Descriptor descriptor;
  ASSIGN_OR_RETURN(descriptor.media_type, TextField(object, "mediaType"));
  if (descriptor.media_type.empty()) {
    return Malformed("a descriptor has no \"mediaType\"");
  }
  ASSIGN_OR_RETURN(descriptor.digest, DigestField(object, "digest"));
  ASSIGN_OR_RETURN(descriptor.size_bytes, SizeField(object, "size"));
  ASSIGN_OR_RETURN(descriptor.annotations, ParseAnnotations(object));
  ASSIGN_OR_RETURN(descriptor.platform, ParsePlatform(object));
  ASSIGN_OR_RETURN(descriptor.urls, TextListField(object, "urls"));
  ASSIGN_OR_RETURN(descriptor.artifact_type, TextField(object, "artifactType"));
  return descriptor;
}

StatusOr<std::vector<Descriptor>> ParseDescriptors(const Json& object, const char* key) {
  const Json* field = FindField(object, key);
  if (field == nullptr || !field->is_array()) {
    return Malformed(fmt::format("\"{}\" is missing or not a list", key));
  }
  std::vector<Descriptor> descriptors;
  descriptors.reserve(field->size());
  for (const Json& item : *field) {
    auto descriptor = ParseDescriptor(item);
    if (!descriptor.ok()) {
      return Annotate(descriptor.status(), fmt::format("{}[{}]", key, descriptors.size()));
    }
    descriptors.push_back(*std::move(descriptor));
  }
  return descriptors;
}

/// A Content-Type without its parameters.
std::string_view WithoutParameters(std::string_view content_type) {
  std::string_view type = content_type.substr(0, content_type.find(';'));
  while (!type.empty() && type.back() == ' ') {
    type.remove_suffix(1);
  }
  return type;
}

bool IsKnown(std::string_view type) {
  return media_type::IsManifest(type) || media_type::IsIndex(type);
}

Status Schema1() {
  return MakeError(StatusCode::kUnimplemented,
                   "a Docker schema 1 manifest, which is obsolete and has no verifiable layers; "
                   "pull and push the image with a current Docker, or copy it with skopeo");
}

StatusOr<std::string> MediaTypeOf(const Json& document, std::string_view hint) {
  hint = WithoutParameters(hint);
  ASSIGN_OR_RETURN(std::string stated, TextField(document, "mediaType"));
  const Json* version = FindField(document, "schemaVersion");
  if (hint.starts_with(kDockerSchema1Prefix) || stated.starts_with(kDockerSchema1Prefix) ||
      FindField(document, "fsLayers") != nullptr || (version != nullptr && *version == 1)) {
    return Schema1();
  }
  if (version == nullptr || *version != 2) {
    return Malformed("\"schemaVersion\" is not 2");
  }
  // Two readers must not see two images in one document, whichever type they start from.
  // Source: advisory GHSA-77vh-xpmg-72qh (CVE-2021-41190).
  const bool like_index = FindField(document, "manifests") != nullptr;
  const bool like_manifest =
      FindField(document, "config") != nullptr || FindField(document, "layers") != nullptr;
  if (like_index == like_manifest) {
    return Malformed(like_index ? "it has the members of a manifest and of an index"
                                : "it has neither layers nor manifests");
  }
  if (stated.empty()) {
    stated = IsKnown(hint) ? hint : like_index ? media_type::kOciIndex : media_type::kOciManifest;
  } else if (IsKnown(hint) && stated != hint) {
    return Malformed(fmt::format("it says that it is {}, but came as {}", stated, hint));
  }
  if (!IsKnown(stated)) {
    return MakeError(StatusCode::kUnimplemented,
                     fmt::format("\"{}\" is not a type of manifest that is supported", stated));
  }
  if (media_type::IsIndex(stated) != like_index) {
    return Malformed(fmt::format("its members are not those of {}", stated));
  }
  return stated;
}

Json ToJsonObject(const Annotations& annotations) {
  Json object = Json::object();
  for (const auto& [key, value] : annotations) {
    object[key] = value;
  }
  return object;
}

Json ToJsonObject(const Platform& platform) {
  Json object = Json::object();
  object["architecture"] = platform.architecture;
  object["os"] = platform.os;
  if (!platform.os_version.empty()) {
    object["os.version"] = platform.os_version;
  }
  if (!platform.variant.empty()) {
    object["variant"] = platform.variant;
  }
  return object;
}

Json ToJsonObject(const Descriptor& descriptor) {
  Json object = Json::object();
  object["mediaType"] = descriptor.media_type;
  object["digest"] = descriptor.digest.ToString();
  object["size"] = descriptor.size_bytes;
  if (!descriptor.urls.empty()) {
    object["urls"] = descriptor.urls;
  }
  if (!descriptor.annotations.empty()) {
    object["annotations"] = ToJsonObject(descriptor.annotations);
  }
  if (descriptor.platform) {
    object["platform"] = ToJsonObject(*descriptor.platform);
  }
  if (!descriptor.artifact_type.empty()) {
    object["artifactType"] = descriptor.artifact_type;
  }
  return object;
}

Json ToJsonArray(const std::vector<Descriptor>& descriptors) {
  Json array = Json::array();
  for (const Descriptor& descriptor : descriptors) {
    array.push_back(ToJsonObject(descriptor));
  }
  return array;
}

StatusOr<std::optional<Descriptor>> ParseSubject(const Json& document) {
  const Json* field = FindField(document, "subject");
  if (field == nullptr) {
    return std::optional<Descriptor>();
  }
  auto subject = ParseDescriptor(*field);
  if (!subject.ok()) {
    return Annotate(subject.status(), "subject");
  }
  return std::optional<Descriptor>(*std::move(subject));
}

StatusOr<Manifest> ParseManifest(const Json& document, std::string_view hint) {
  Manifest manifest;
  ASSIGN_OR_RETURN(manifest.media_type, MediaTypeOf(document, hint));
  if (!media_type::IsManifest(manifest.media_type)) {
    return Malformed(fmt::format("it is an index ({}), not a manifest", manifest.media_type));
  }
  const Json* config = FindField(document, "config");
  if (config == nullptr) {
    return Malformed("\"config\" is missing");
  }
  auto config_descriptor = ParseDescriptor(*config);
  if (!config_descriptor.ok()) {
    return Annotate(config_descriptor.status(), "config");
  }
  manifest.config = *std::move(config_descriptor);
  ASSIGN_OR_RETURN(manifest.layers, ParseDescriptors(document, "layers"));
  if (manifest.layers.size() > kMaxLayers) {
    return MakeError(
        StatusCode::kResourceExhausted,
        fmt::format("{} layers, at most {} are accepted", manifest.layers.size(), kMaxLayers));
  }
  ASSIGN_OR_RETURN(manifest.annotations, ParseAnnotations(document));
  ASSIGN_OR_RETURN(manifest.subject, ParseSubject(document));
  ASSIGN_OR_RETURN(manifest.artifact_type, TextField(document, "artifactType"));
  return manifest;
}

StatusOr<Index> ParseIndex(const Json& document, std::string_view hint) {
  Index index;
  ASSIGN_OR_RETURN(index.media_type, MediaTypeOf(document, hint));
  if (!media_type::IsIndex(index.media_type)) {
    return Malformed(fmt::format("it is a manifest ({}), not an index", index.media_type));
  }
  ASSIGN_OR_RETURN(index.manifests, ParseDescriptors(document, "manifests"));
  ASSIGN_OR_RETURN(index.annotations, ParseAnnotations(document));
  ASSIGN_OR_RETURN(index.subject, ParseSubject(document));
  ASSIGN_OR_RETURN(index.artifact_type, TextField(document, "artifactType"));
  return index;
}

/// 0 for what cannot be run here.
int EntryScore(const Descriptor& entry, const Platform& wanted) {
  if (!IsKnown(entry.media_type)) {
    return 0;
  }
  if (entry.platform) {
    const int score = MatchScore(wanted, *entry.platform);
    return score == 0 ? 0 : score + 1;
  }
  // It may be anything; images say so by having no type of artifact.
  return entry.artifact_type.empty() ? 1 : 0;
}

}  // namespace

StatusOr<std::string> DetectMediaType(ByteSpan json, std::string_view media_type_hint) {
  ASSIGN_OR_RETURN(const Json document, ParseJsonObject(json, kMaxManifestBytes, "manifest"));
  auto type = MediaTypeOf(document, media_type_hint);
  return type.ok() ? type : Annotate(type.status(), "manifest");
}

StatusOr<Manifest> Manifest::Parse(ByteSpan json, std::string_view media_type_hint) {
  ASSIGN_OR_RETURN(const Json document, ParseJsonObject(json, kMaxManifestBytes, "manifest"));
  auto manifest = ParseManifest(document, media_type_hint);
  if (!manifest.ok()) {
    return Annotate(manifest.status(), "manifest");
  }
  return manifest;
}

std::string Manifest::ToJson() const {
  Json document = Json::object();
  document["schemaVersion"] = 2;
  document["mediaType"] = media_type;
  if (!artifact_type.empty()) {
    document["artifactType"] = artifact_type;
  }
  document["config"] = ToJsonObject(config);
  document["layers"] = ToJsonArray(layers);
  if (subject) {
    document["subject"] = ToJsonObject(*subject);
  }
  if (!annotations.empty()) {
    document["annotations"] = ToJsonObject(annotations);
  }
  return WriteJson(document);
}

StatusOr<Index> Index::Parse(ByteSpan json, std::string_view media_type_hint) {
  ASSIGN_OR_RETURN(const Json document, ParseJsonObject(json, kMaxManifestBytes, "index"));
  auto index = ParseIndex(document, media_type_hint);
  if (!index.ok()) {
    return Annotate(index.status(), "index");
  }
  return index;
}

std::string Index::ToJson() const {
  Json document = Json::object();
  document["schemaVersion"] = 2;
  document["mediaType"] = media_type;
  if (!artifact_type.empty()) {
    document["artifactType"] = artifact_type;
  }
  document["manifests"] = ToJsonArray(manifests);
  if (subject) {
    document["subject"] = ToJsonObject(*subject);
  }
  if (!annotations.empty()) {
    document["annotations"] = ToJsonObject(annotations);
  }
  return WriteJson(document);
}

std::vector<Descriptor> Index::Candidates(const Platform& wanted) const {
  std::vector<std::pair<int, const Descriptor*>> scored;
  for (const Descriptor& entry : manifests) {
    if (const int score = EntryScore(entry, wanted); score > 0) {
      scored.emplace_back(score, &entry);
    }
  }
  std::stable_sort(scored.begin(), scored.end(),
                   [](const auto& a, const auto& b) { return a.first > b.first; });
  std::vector<Descriptor> candidates;
  candidates.reserve(scored.size());
  for (const auto& [score, entry] : scored) {
    candidates.push_back(*entry);
  }
  return candidates;
}

StatusOr<Descriptor> Index::Select(const Platform& wanted) const {
  std::vector<Descriptor> candidates = Candidates(wanted);
  if (!candidates.empty()) {
    return std::move(candidates.front());
  }
  constexpr size_t kMaxListedBytes = 400;
  std::string offered;
  for (const Descriptor& entry : manifests) {
    if (entry.platform && entry.platform->os != "unknown" && offered.size() < kMaxListedBytes) {
      offered += (offered.empty() ? "" : ", ") + entry.platform->ToString();
    }
  }
  return MakeError(StatusCode::kNotFound,
                   fmt::format("no image for {}; there is {}", wanted.ToString(),
                               offered.empty() ? "none at all" : offered));
}

}  // namespace starling::oci
