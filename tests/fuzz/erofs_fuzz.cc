// Property: ImageReader never reads or points outside the image, every call ends, and a file's
// content is inside the data device.
#include <sys/stat.h>

#include <cstdlib>
#include <memory>

#include "erofs/format.h"
#include "erofs/image_reader.h"

namespace starling::erofs {
namespace {

constexpr uint64_t kBlockBytes = uint64_t{1} << format::kBlockBits;
constexpr size_t kMaxDepth = 6;

/// Walks what is reachable. Directories may contain themselves: a budget bounds the walk.
class Walk {
 public:
  Walk(const ImageReader& reader, ByteSpan image) : reader_(reader), image_(image) {}

  void Visit(Nid nid, size_t depth) {
    const auto attributes = reader_.Stat(nid);
    if (attributes.ok() && S_ISREG(attributes->mode) && attributes->size_bytes > 0) {
      Check(attributes->size_bytes <= reader_.data_device_bytes() &&
            attributes->data_address <= reader_.data_device_bytes() - attributes->size_bytes);
    }
    if (const auto target = reader_.ReadLink(nid); target.ok()) {
      CheckInside(AsBytes(*target));
    }
    VisitXattrs(nid);
    (void)reader_.Lookup(nid, "m");
    size_t entries = 0;
    (void)reader_.ReadDirectory(nid, 0, [&](const ImageReader::DirectoryEntry& entry) {
      CheckInside(AsBytes(entry.name));
      (void)reader_.Lookup(nid, entry.name);
      Check(++entries <= image_.size() / format::kDirentBytes);
      if (depth < kMaxDepth && budget_ > 0) {
        --budget_;
        Visit(entry.nid, depth + 1);
      }
      return budget_ > 0;
    });
  }

 private:
  static void Check(bool holds) {
    if (!holds) {
      std::abort();
    }
  }
  void CheckInside(ByteSpan bytes) const {
    Check(bytes.data() >= image_.data() &&
          bytes.data() + bytes.size() <= image_.data() + image_.size());
  }
  void VisitXattrs(Nid nid) const {
    const auto names = reader_.ListXattrs(nid);
    if (!names.ok()) {
      return;
    }
    for (const std::string& name : *names) {
      if (const auto value = reader_.GetXattr(nid, name); value.ok()) {
        CheckInside(*value);
      }
    }
  }

  const ImageReader& reader_;
  ByteSpan image_;
  size_t budget_ = 300;
};

}  // namespace
}  // namespace starling::erofs

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  using namespace starling::erofs;
  // Whole blocks and the right number of them, so that the fuzzer gets past the superblock.
  const size_t image_bytes = format::RoundUp(size, kBlockBytes);
  if (image_bytes == 0 || image_bytes > 64 * kBlockBytes) {
    return 0;
  }
  const auto image = std::make_unique<std::byte[]>(image_bytes);
  std::memcpy(image.get(), data, size);
  format::Store(image.get() + format::kSuperblockAddress, format::superblock::kBlocksAt,
                static_cast<uint32_t>(image_bytes / kBlockBytes));
  const starling::ByteSpan bytes(image.get(), image_bytes);
  if (const auto reader = ImageReader::Open(bytes); reader.ok()) {
    Walk(*reader, bytes).Visit(reader->root(), 0);
  }
  return 0;
}
