#include "mount/chain_mount.h"

#include <fcntl.h>

#include <algorithm>
#include <charconv>
#include <string>
#include <string_view>

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

/// A list of 500 layers, which is as many as an overlay can have, is far smaller.
constexpr uint64_t kMaxListBytes = 64 << 10;

std::string ListOf(std::span<const ChainLayer> layers) {
  std::string text;
  for (const ChainLayer& layer : layers) {
    text += fmt::format("{}\n", layer.number);
  }
  return text;
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

StatusOr<std::unique_ptr<ChainMounts>> ChainMounts::Adopt(std::filesystem::path directory,
                                                          FileSystem& files) {
  ASSIGN_OR_RETURN(std::unique_ptr<ErofsPlane> plane, ErofsPlane::Adopt(directory));
  return std::unique_ptr<ChainMounts>(
      new ChainMounts(std::move(directory), files, std::move(plane)));
}

void ChainMounts::AdoptChains(
    const std::function<std::optional<std::vector<ChainLayer>>(std::span<const uint64_t> numbers)>&
        layers_of) {
  MutexLock lock(mutex_);
  for (const uint64_t top : plane_->Numbers()) {
    const StatusOr<std::vector<uint64_t>> numbers = ReadList(top);
    auto layers = numbers.ok() ? layers_of(*numbers) : std::nullopt;
    if (layers) {
      if (plane_->UsesStored(top)) {
        std::ranges::for_each(*layers, [](const ChainLayer& layer) {
          (void)layer.stored->PinIfComplete();  // also where a cap came since
        });
      }
      chains_[top] = {.layers = *std::move(layers), .path = plane_->Find(top)};
      continue;
    }
    log::Warning(
        "a merged chain of layers is made anew",
        {{"chain", std::to_string(top)},
         {"error", numbers.ok() ? "one of its layers is not shown" : Describe(numbers.status())}});
    plane_->Hide(top);
    RemoveFiles(top);
  }
}

void ChainMounts::Leave() {
  MutexLock lock(mutex_);
  chains_.clear();
  plane_->Leave();
}

ChainMounts::~ChainMounts() {
  std::map<uint64_t, Chain> chains;
  {
    MutexLock lock(mutex_);
    chains.swap(chains_);
  }
  for (const auto& [top, chain] : chains) {
    plane_->Hide(top);
    RemoveFiles(top);
  }
}

std::filesystem::path ChainMounts::ImagePath(uint64_t top) const {
  return directory_ / fmt::format("{}.erofs", top);
}

std::filesystem::path ChainMounts::ListPath(uint64_t top) const {
  return directory_ / fmt::format("{}.layers", top);
}

/// The numbers of a chain's layers, bottom first, as ListOf writes them.
StatusOr<std::vector<uint64_t>> ChainMounts::ReadList(uint64_t top) const {
  ASSIGN_OR_RETURN(const Bytes bytes, ReadFile(files_, ListPath(top), kMaxListBytes));
  std::vector<uint64_t> numbers;
  for (std::string_view text = AsText(bytes); !text.empty();) {
    uint64_t number = 0;
    const char* end = text.data() + text.size();
    const auto [parsed_to, error] = std::from_chars(text.data(), end, number);
    if (error != std::errc() || parsed_to == end || *parsed_to != '\n') {
      return MakeError(StatusCode::kDataLoss, fmt::format("{} is damaged", ListPath(top).native()));
    }
    numbers.push_back(number);
    text.remove_prefix(static_cast<size_t>(parsed_to + 1 - text.data()));
  }
  if (numbers.empty() || numbers.back() != top) {
    return MakeError(StatusCode::kDataLoss,
                     fmt::format("{} does not end with {}", ListPath(top).native(), top));
  }
  return numbers;
}

/// Not forced to the disk: what was mounted is gone after a loss of power.
Status ChainMounts::WriteWhole(const std::filesystem::path& path, ByteSpan bytes) {
  ASSIGN_OR_RETURN(const UniqueFd file, files_.Open(path, O_WRONLY | O_CREAT | O_TRUNC, 0600));
  return files_.WriteAt(file.get(), 0, bytes);
}

void ChainMounts::RemoveFiles(uint64_t top) {
  std::error_code error;
  std::filesystem::remove(ImagePath(top), error);
  std::filesystem::remove(ListPath(top), error);
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
    RETURN_IF_ERROR(WriteWhole(ListPath(top), AsBytes(ListOf(layers))));
    RETURN_IF_ERROR(WriteWhole(image_path, image));
    const auto data = AllComplete(layers) ? ErofsPlane::Data::kStored : ErofsPlane::Data::kOverFuse;
    return plane_->Show(top, ImageOf(layers, image_path, data), data);
  };
  StatusOr<std::filesystem::path> path = write_and_mount();
  if (!path.ok()) {
    RemoveFiles(top);
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
    RemoveFiles(top);
    return true;
  });
}

}  // namespace starling::mount
