#include "apps/starlingd/host_layer_mounter.h"

#include <algorithm>
#include <vector>

namespace starling {
namespace {

mount::Reader ReaderOf(snapshotter::Reader reader) {
  return reader == snapshotter::Reader::kBuild ? mount::Reader::kBuild : mount::Reader::kContainer;
}

// The labels name no size: it comes with the registry's first answer.
mount::LayerSpec SpecOf(const snapshotter::LayerRequest& layer) {
  return {.image = layer.image_reference,
          .layer = layer.layer,
          .toc = layer.toc,
          .toc_of = layer.toc_of,
          .size_bytes = 0,
          .manifest = layer.manifest,
          .chain = layer.chain,
          .parent_chain = layer.parent_chain,
          .prefetch_bytes = layer.prefetch_bytes,
          .image_layers = layer.image_layers,
          .lazy_layers = layer.lazy_layers,
          .reader = ReaderOf(layer.reader)};
}

StatusOr<snapshotter::LayerMount> Convert(StatusOr<mount::MountedLayer> mounted) {
  RETURN_IF_ERROR(mounted.status());
  return snapshotter::LayerMount{.path = std::move(mounted->path),
                                 .size_bytes = mounted->data_bytes,
                                 .inodes = mounted->inodes,
                                 .is_whole = mounted->is_whole};
}

/// `layer` and those above it as plain ones: clients prepare one after the other.
std::vector<mount::LayerSpec> PlainOnesFrom(const snapshotter::LayerRequest& layer) {
  std::vector<mount::LayerSpec> specs;
  for (auto next = std::ranges::find(layer.image_layers, layer.layer);
       next != layer.image_layers.end(); ++next) {
    specs.push_back(
        {.image = layer.image_reference, .layer = *next, .toc = *next, .manifest = layer.manifest});
  }
  return specs;
}

}  // namespace

StatusOr<snapshotter::LayerMount> HostLayerMounter::Mount(uint64_t number,
                                                          const snapshotter::LayerRequest& layer) {
  if (oci::IsPlain(layer.layer, layer.toc)) {
    host_.BeginAhead(PlainOnesFrom(layer));
  }
  return Convert(host_.Mount(number, SpecOf(layer)));
}

StatusOr<snapshotter::LayerMount> HostLayerMounter::Restore(
    uint64_t number, const snapshotter::LayerRequest& layer) {
  return Convert(host_.Restore(number, SpecOf(layer)));
}

Status HostLayerMounter::Serve() { return host_.Serve(); }

std::optional<std::filesystem::path> HostLayerMounter::ShowChain(std::span<const uint64_t> numbers,
                                                                 snapshotter::Reader reader) {
  return host_.ShowChain(numbers, ReaderOf(reader));
}

Status HostLayerMounter::Discard(uint64_t number) {
  return host_.Unmount(number, mount::LayerHost::Data::kDiscard);
}

Status HostLayerMounter::DiscardOthers() { return host_.DiscardUnshown(); }

}  // namespace starling
