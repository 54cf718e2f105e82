// Property: what MergeImages makes of any two layers is an image whose files lie inside the data
// devices of those layers, without whiteouts and without overlayfs's own xattrs.
#include <sys/stat.h>

#include <algorithm>
#include <cstdlib>
#include <memory>
#include <optional>

#include "erofs/format.h"
#include "erofs/image_writer.h"
#include "erofs/merge.h"

namespace starling::erofs {
namespace {

constexpr uint16_t kLayers = 2;
constexpr size_t kMaxBlocks = 32;  // of both layers together

void Check(bool holds) {
  if (!holds) {
    std::abort();
  }
}

/// An image of whole blocks and the right number of them, so that the fuzzer gets past the
/// superblock.
class Layer {
 public:
  Layer(const uint8_t* data, size_t size)
      : size_bytes_(format::RoundUp(std::max<size_t>(size, 1), kBlockBytes)),
        bytes_(std::make_unique<std::byte[]>(size_bytes_)) {
    std::memcpy(bytes_.get(), data, size);
    format::Store(bytes_.get() + format::kSuperblockAddress, format::superblock::kBlocksAt,
                  static_cast<uint32_t>(size_bytes_ / kBlockBytes));
  }
  StatusOr<ImageReader> Open() const { return ImageReader::Open({bytes_.get(), size_bytes_}); }

 private:
  size_t size_bytes_;
  std::unique_ptr<std::byte[]> bytes_;
};

/// Ends: a merged image is a tree.
void CheckTree(const ImageReader& merged, std::span<const ImageReader> layers, Nid nid) {
  const auto attributes = merged.Stat(nid);
  Check(attributes.ok());
  Check(!S_ISCHR(attributes->mode) || attributes->device_major != 0 ||
        attributes->device_minor != 0);
  if (S_ISREG(attributes->mode) && attributes->size_bytes > 0) {
    Check(attributes->data_device >= 1 && attributes->data_device <= kLayers);
    const uint64_t device_bytes = layers[attributes->data_device - 1U].data_device_bytes();
    Check(attributes->size_bytes <= device_bytes &&
          attributes->data_address <= device_bytes - attributes->size_bytes);
  }
  const auto xattrs = merged.ListXattrs(nid);
  Check(xattrs.ok());
  for (const std::string& name : *xattrs) {
    Check(!name.starts_with("trusted.overlay."));
  }
  if (!S_ISDIR(attributes->mode)) {
    return;
  }
  const Status status = merged.ReadDirectory(nid, 0, [&](const ImageReader::DirectoryEntry& entry) {
    if (entry.name != "." && entry.name != "..") {
      CheckTree(merged, layers, entry.nid);
    }
    return true;
  });
  Check(status.ok());
}

}  // namespace
}  // namespace starling::erofs

/// The first byte is the number of the lower layer's blocks; the layers follow.
extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  using namespace starling::erofs;
  if (size < 1 || size > kMaxBlocks * kBlockBytes) {
    return 0;
  }
  const size_t lower_bytes = std::min<size_t>(size - 1, data[0] * kBlockBytes);
  const Layer lower(data + 1, lower_bytes);
  const Layer upper(data + 1 + lower_bytes, size - 1 - lower_bytes);
  const auto lower_reader = lower.Open();
  const auto upper_reader = upper.Open();
  if (!lower_reader.ok() || !upper_reader.ok()) {
    return 0;
  }
  const ImageReader layers[] = {*lower_reader, *upper_reader};
  if (const auto merged = MergeImages(layers); merged.ok()) {
    const auto reader = ImageReader::Open(*merged, kLayers);
    Check(reader.ok());
    CheckTree(*reader, layers, reader->root());
  }
  return 0;
}
