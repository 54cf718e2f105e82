#include "snapshotter/labels.h"

#include <algorithm>
#include <array>
#include <charconv>

#include "api/snapshot_labels.h"
#include "oci/toc_digest.h"

namespace starling::snapshotter {
namespace {

namespace snapshot_label = api::snapshot_label;

constexpr size_t kMaxReferenceBytes = 4096;
// containerd cuts the list at 4096 bytes, which is 56 digests.
constexpr size_t kMaxImageLayers = 128;

struct Family {
  std::string_view reference;
  std::string_view digest;
  std::string_view layers;
};
constexpr std::array<Family, 2> kFamilies = {{
    {.reference = snapshot_label::kCriImageRef,
     .digest = snapshot_label::kCriLayerDigest,
     .layers = snapshot_label::kCriImageLayers},
    {.reference = snapshot_label::kStargzReference,
     .digest = snapshot_label::kStargzDigest,
     .layers = snapshot_label::kStargzLayers},
}};

std::string_view Find(const Labels& labels, std::string_view key) {
  const auto label = labels.find(std::string(key));
  return label == labels.end() ? std::string_view() : label->second;
}

StatusOr<oci::Digest> ParseDigestLabel(std::string_view key, std::string_view value) {
  StatusOr<oci::Digest> digest = oci::Digest::Parse(value);
  if (!digest.ok()) {
    return Annotate(digest.status(), fmt::format("label {}", key));
  }
  return digest;
}

Status CheckReference(std::string_view key, std::string_view reference) {
  const bool printable = std::ranges::all_of(
      reference, [](char c) { return static_cast<unsigned char>(c) > 0x20 && c != 0x7f; });
  if (reference.size() > kMaxReferenceBytes || !printable) {
    return MakeError(StatusCode::kInvalidArgument,
                     fmt::format("label {}: not an image reference", key));
  }
  return OkStatus();
}

// The digests in `list`, then `layer` in front if it is not among them.
std::vector<oci::Digest> ParseLayers(std::string_view list, const oci::Digest& layer) {
  std::vector<oci::Digest> layers;
  while (!list.empty() && layers.size() < kMaxImageLayers) {
    const size_t comma = std::min(list.find(','), list.size());
    const StatusOr<oci::Digest> digest = oci::Digest::Parse(list.substr(0, comma));
    if (digest.ok() && std::ranges::find(layers, *digest) == layers.end()) {
      layers.push_back(*digest);
    }
    list.remove_prefix(std::min(comma + 1, list.size()));
  }
  if (std::ranges::find(layers, layer) == layers.end()) {
    layers.insert(layers.begin(), layer);
  }
  return layers;
}

/// Nothing for a list with anything else in it: it is only worth something whole.
std::vector<std::pair<oci::Digest, oci::Digest>> ParseLazyLayers(std::string_view list) {
  std::vector<std::pair<oci::Digest, oci::Digest>> layers;
  while (!list.empty()) {
    const size_t comma = std::min(list.find(','), list.size());
    const std::string_view entry = list.substr(0, comma);
    const size_t equals = std::min(entry.find('='), entry.size());
    const auto layer = oci::Digest::Parse(entry.substr(0, equals));
    const auto toc = oci::Digest::Parse(entry.substr(std::min(equals + 1, entry.size())));
    if (!layer.ok() || !toc.ok() || layers.size() == kMaxImageLayers) {
      return {};
    }
    layers.emplace_back(*layer, *toc);
    list.remove_prefix(std::min(comma + 1, list.size()));
  }
  return layers;
}

std::optional<uint64_t> ParseBytes(std::string_view text) {
  uint64_t bytes = 0;
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), bytes);
  if (text.empty() || error != std::errc() || end != text.data() + text.size()) {
    return std::nullopt;
  }
  return bytes;
}

}  // namespace

StatusOr<LayerRequest> LayerRequestFromLabels(const Labels& labels) {
  const auto family = std::ranges::find_if(kFamilies, [&labels](const Family& candidate) {
    return !Find(labels, candidate.reference).empty() && !Find(labels, candidate.digest).empty();
  });
  if (family == kFamilies.end()) {
    return MakeError(StatusCode::kNotFound,
                     "no label names the image and the layer: the client does not announce layers "
                     "to remote snapshotters");
  }
  LayerRequest request;
  request.image_reference = Find(labels, family->reference);
  RETURN_IF_ERROR(CheckReference(family->reference, request.image_reference));
  ASSIGN_OR_RETURN(request.layer, ParseDigestLabel(family->digest, Find(labels, family->digest)));
  // A layer's annotations become the labels of its Prepare.
  const StatusOr<oci::TocDigest> toc = oci::FindTocDigest(labels);
  if (toc.ok()) {
    request.toc = toc->digest;
    request.toc_of = toc->of;
  } else if (toc.status().code() == StatusCode::kNotFound) {
    request.toc = request.layer;
  } else {
    return toc.status();
  }
  if (const auto manifest = oci::Digest::Parse(Find(labels, snapshot_label::kCriManifestDigest));
      manifest.ok()) {
    request.manifest = *manifest;
  }
  request.prefetch_bytes = ParseBytes(Find(labels, snapshot_label::kStargzPrefetch));
  request.image_layers = ParseLayers(Find(labels, family->layers), request.layer);
  request.lazy_layers = ParseLazyLayers(Find(labels, snapshot_label::kLazyLayers));
  request.reader = ReaderOf(labels);
  return request;
}

Reader ReaderOf(const Labels& labels) {
  return Find(labels, snapshot_label::kFor) == snapshot_label::kForBuild ? Reader::kBuild
                                                                         : Reader::kContainer;
}

std::optional<std::string> SnapshotRefOf(const Labels& labels) {
  const std::string_view ref = Find(labels, snapshot_label::kRef);
  return ref.empty() ? std::nullopt : std::optional<std::string>(ref);
}

std::optional<oci::Digest> ChainIdOf(const Info& snapshot) {
  const std::string_view ref = Find(snapshot.labels, snapshot_label::kRef);
  return ChainIdIn(ref.empty() ? snapshot.name : ref);
}

std::optional<oci::Digest> ChainIdIn(std::string_view name) {
  // Without a slash: npos + 1 is the front.
  const auto chain = oci::Digest::Parse(name.substr(name.rfind('/') + 1));
  return chain.ok() ? std::optional(*chain) : std::nullopt;
}

std::string RemoteSnapshotName(std::string_view snapshot_ref, std::string_view parent) {
  constexpr size_t kHashDigits = 16;
  if (snapshot_ref.starts_with(snapshot_label::kStandalonePrefix)) {
    return std::string(snapshot_ref);
  }
  return fmt::format("remote/{}/{}", snapshot_ref,
                     oci::Digest::Of(AsBytes(parent)).Hex().substr(0, kHashDigits));
}

}  // namespace starling::snapshotter
