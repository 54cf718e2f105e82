/// Tar archives as layers hold them: old (v7), ustar, star, PAX and GNU headers.
#pragma once

#include <array>
#include <functional>
#include <map>
#include <optional>
#include <string>
#include <vector>

#include "base/io.h"
#include "base/status.h"

namespace starling::estargz {

inline constexpr size_t kTarBlockBytes = 512;

enum class TarType {
  kRegular,
  kHardlink,
  kSymlink,
  kCharacter,
  kBlock,
  kDirectory,
  kFifo,
  kGlobalHeader,  // no file: PAX records for the entries that follow
};

/// What a hostile tar may cost. More is refused with kResourceExhausted that names the limit.
struct TarLimits {
  /// Of one extended header or long name. Go's archive/tar, and so containerd, has the same.
  uint64_t extension_bytes = 1 << 20;
  uint64_t file_bytes = 1ULL << 44;
};

/// A moment of a PAX record.
struct TarTime {
  int64_t seconds = 0;  // rounded down
  uint32_t nanoseconds = 0;

  friend bool operator==(const TarTime&, const TarTime&) = default;
};

/// One entry with extended headers applied. Names are bytes as the tar has them: not cleaned, any
/// encoding, but never with a NUL.
struct TarEntry {
  std::string name;
  TarType type = TarType::kRegular;
  uint64_t size_bytes = 0;  // of the payload; only regular files have one
  uint32_t mode = 0;        // permission bits with setuid, setgid and sticky
  uint32_t mode_field = 0;  // all bits that the header has there
  uint32_t uid = 0;
  uint32_t gid = 0;
  int64_t modified_seconds = 0;  // rounded down
  uint32_t modified_nanoseconds = 0;
  std::optional<TarTime> accessed;
  std::optional<TarTime> changed;
  std::string link_name;
  std::string user_name;
  std::string group_name;
  uint32_t device_major = 0;
  uint32_t device_minor = 0;
  std::map<std::string, Bytes> xattrs;
  /// A PAX global header that an entry takes values from stands above it.
  bool uses_global_header = false;
  /// Go's archive/tar, with its more narrow view, reads the same values out of this header.
  bool go_reads_alike = true;
  /// The header as it came, whole blocks, with the extended headers and long names before it.
  Bytes header;
};

/// Entries in order. Threads: one at a time.
class TarEntrySource {
 public:
  virtual ~TarEntrySource() = default;
  /// The next entry, or nothing at the end. What was not read of the last payload is skipped.
  virtual StatusOr<std::optional<TarEntry>> Next() = 0;
  /// Fills `out` with the payload's next bytes; the caller stays within the entry's size.
  virtual Status ReadPayload(std::span<std::byte> out) = 0;
};

/// Reads a tar as a stream. As containerd does, it ends at the first of: two zero blocks, a zero
/// block and the end, the end. What follows is read and dropped.
/// Errors: kDataLoss for a broken tar; kUnimplemented for sparse files and other types that
/// containerd cannot unpack; both name the entry.
/// Source: POSIX.1-2017 pax, "ustar Interchange Format" and "pax Extended Header"; GNU tar manual,
/// "Basic Tar Format".
class TarReader : public TarEntrySource {
 public:
  /// Borrows `tar`.
  explicit TarReader(ByteSource& tar, const TarLimits& limits = {});
  StatusOr<std::optional<TarEntry>> Next() override;
  Status ReadPayload(std::span<std::byte> out) override;
  /// Bytes of the tar that were read: after Next, where the entry's payload begins.
  uint64_t tar_offset() const { return tar_offset_; }
  /// At the end: how many zero bytes stand behind the last entry, if nothing else does; else 0.
  uint64_t zeros_at_end() const { return zeros_at_end_; }

 private:
  using Block = std::array<std::byte, kTarBlockBytes>;
  using Records = std::map<std::string, std::string, std::less<>>;

  /// Headers that describe the entry after them.
  struct Extensions {
    Records records;
    int pax_headers = 0;
    std::optional<std::string> name;
    std::optional<std::string> link_name;
    Bytes blocks;
  };

  StatusOr<bool> ReadBlock(Block& block);
  Status ReadExactly(std::span<std::byte> out);
  StatusOr<Bytes> ReadExtension(const Block& header, Bytes& blocks);
  Status SkipPayload();
  Status Drain(uint64_t end_offset);
  StatusOr<TarEntry> MakeEntry(const Block& header, Extensions extensions);

  ByteSource& tar_;
  TarLimits limits_;
  Bytes buffer_;
  size_t buffer_begin_ = 0;
  size_t buffer_end_ = 0;
  uint64_t tar_offset_ = 0;
  uint64_t payload_left_ = 0;
  uint64_t padding_left_ = 0;
  Records globals_;
  uint64_t zeros_at_end_ = 0;
  bool ended_ = false;
};

/// Bytes from `size_bytes` to the next whole block.
inline uint64_t TarPadding(uint64_t size_bytes) {
  return (kTarBlockBytes - size_bytes % kTarBlockBytes) % kTarBlockBytes;
}

}  // namespace starling::estargz
