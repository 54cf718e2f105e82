#include "mount/chain_mount.h"

#include <fcntl.h>

#include <algorithm>
#include <string>

#include "base/log.h"
#include "erofs/image_reader.h"
#include "erofs/merge.h"

namespace starling::mount {
namespace {

bool AllComplete(std::span<const ChainLayer> layers) {
  return std::ranges::all_of(layers, [](const ChainLayer& layer) {
    return layer.may_use_stored && layer.stored->PinIfComplete();
  });
}

bool Contains(std::span<const ChainLayer> layers, uint64_t number) {
  return std::ranges::any_of(layers,
                             [number](const ChainLayer& layer) { return layer.number == number; });
}

bool SameNumbers(std::span<const ChainLayer> a, std::span<const ChainLayer> b) {
  return std::ranges::equal(a, b, {}, &ChainLayer::number, &ChainLayer::number);
}

StatusOr<Bytes> Merge(std::span<const ChainLayer> layers) {
  std::vector<erofs::ImageReader> indexes;
  for (const ChainLayer& layer : layers) {
    ASSIGN_OR_RETURN(erofs::ImageReader index, erofs::ImageReader::Open(layer.stored->index()));
    indexes.push_back(index);
  }
  return erofs::MergeImages(indexes);
}

/// The image of the chain, with its data where `data` says. All devices are of one kind: the kernel
/// reads those over FUSE past its page cache, which would be slow on a file of the disk.
ErofsImage ImageOf(std::span<const ChainLayer> layers, std::filesystem::path index,
                   ErofsPlane::Data data) {
  ErofsImage image{.index = std::move(index), .data = {}};
  for (const ChainLayer& layer : layers) {
    image.data.push_back(data == ErofsPlane::Data::kStored ? layer.stored->data_path()
                                                           : layer.data_over_fuse);
  }
  return image;
}

}  // namespace

StatusOr<std::unique_ptr<ChainMounts>> ChainMounts::Start(std::filesystem::path directory,
                                                          FileSystem& files) {
  ASSIGN_OR_RETURN(std::unique_ptr<ErofsPlane> plane, ErofsPlane::Start(directory));
  return std::unique_ptr<ChainMounts>(
      new ChainMounts(std::move(directory), files, std::move(plane)));
}

ChainMounts::~ChainMounts() {
  std::map<uint64_t, Chain> chains;
  {
    MutexLock lock(mutex_);
    chains.swap(chains_);
  }
  for (const auto& [top, chain] : chains) {
    plane_->Hide(top);
    std::error_code error;
    std::filesystem::remove(ImagePath(top), error);
  }
}

std::filesystem::path ChainMounts::ImagePath(uint64_t top) const {
  return directory_ / fmt::format("{}.erofs", top);
}

std::optional<std::filesystem::path> ChainMounts::Show(std::span<const ChainLayer> layers) {
  const uint64_t top = layers.back().number;
  MutexLock lock(mutex_);
  if (const auto known = chains_.find(top); known != chains_.end()) {
    // Another list of the same topmost layer is nobody's chain.
    return SameNumbers(known->second.layers, layers) ? known->second.path : std::nullopt;
  }
  Chain& chain = chains_[top];
  chain.layers.assign(layers.begin(), layers.end());
  auto path = Mount(layers);
  if (!path.ok()) {
    log::Warning("a chain of layers is not merged into one mount",
                 {{"layer", layers.back().stored->key().layer.ToString()},
                  {"layers", std::to_string(layers.size())},
                  {"error", Describe(path.status())}});
    return std::nullopt;
  }
  chain.path = *std::move(path);
  return chain.path;
}

StatusOr<std::filesystem::path> ChainMounts::Mount(std::span<const ChainLayer> layers) {
  const uint64_t top = layers.back().number;
  const std::filesystem::path image_path = ImagePath(top);
  ASSIGN_OR_RETURN(const Bytes image, Merge(layers));
  const auto write_and_mount = [&]() -> StatusOr<std::filesystem::path> {
    // Not forced to the disk: no later process uses it.
    ASSIGN_OR_RETURN(const UniqueFd file,
                     files_.Open(image_path, O_WRONLY | O_CREAT | O_TRUNC, 0600));
    RETURN_IF_ERROR(files_.WriteAt(file.get(), 0, image));
    const auto data = AllComplete(layers) ? ErofsPlane::Data::kStored : ErofsPlane::Data::kOverFuse;
    return plane_->Show(top, ImageOf(layers, image_path, data), data);
  };
  StatusOr<std::filesystem::path> path = write_and_mount();
  if (!path.ok()) {
    std::error_code error;
    std::filesystem::remove(image_path, error);
  }
  return path;
}

void ChainMounts::UseStored(uint64_t number) {
  MutexLock lock(mutex_);
  for (const auto& [top, chain] : chains_) {
    if (!chain.path || !Contains(chain.layers, number) || !AllComplete(chain.layers)) {
      continue;
    }
    const Status status =
        plane_->UseStored(top, ImageOf(chain.layers, ImagePath(top), ErofsPlane::Data::kStored));
    if (!status.ok()) {
      log::Warning("a complete chain of layers goes on over FUSE", {{"error", Describe(status)}});
    }
  }
}

void ChainMounts::HideThoseWith(uint64_t number) {
  MutexLock lock(mutex_);
  std::erase_if(chains_, [&](const auto& entry) {
    const auto& [top, chain] = entry;
    if (!Contains(chain.layers, number)) {
      return false;
    }
    plane_->Hide(top);
    std::error_code error;
    std::filesystem::remove(ImagePath(top), error);
    return true;
  });
}

}  // namespace starling::mount
