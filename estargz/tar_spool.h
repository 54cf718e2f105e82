#pragma once

#include <filesystem>
#include <memory>
#include <vector>

#include "base/unique_fd.h"
#include "estargz/tar.h"

namespace starling::estargz {

/// A tar on disk, read again in another order: global headers, then the prioritized files each
/// behind its parent directories and the target of its hard link, then the rest as it came.
/// Of entries with the same name only the last is kept.
class TarSpool : public TarEntrySource {
 public:
  /// Reads all of `tar` into a nameless file in `directory`. `prioritized` are paths in any form;
  /// those that the tar does not have are ignored, as a list is made for all layers of an image.
  static StatusOr<std::unique_ptr<TarSpool>> Make(TarEntrySource& tar,
                                                  const std::vector<std::string>& prioritized,
                                                  const std::filesystem::path& directory);
  StatusOr<std::optional<TarEntry>> Next() override;
  Status ReadPayload(std::span<std::byte> out) override;

  /// How many entries Next gives before the rest begins.
  size_t prioritized_entries() const { return prioritized_entries_; }

 private:
  struct Spooled {
    TarEntry entry;  // without its header
    uint64_t spool_offset = 0;
    size_t header_bytes = 0;
  };

  explicit TarSpool(UniqueFd fd) : fd_(std::move(fd)) {}
  Status Fill(TarEntrySource& tar);
  void Order(const std::vector<std::string>& prioritized);

  UniqueFd fd_;
  std::vector<Spooled> entries_;  // as they came
  std::vector<size_t> order_;     // numbers in entries_
  size_t prioritized_entries_ = 0;
  size_t next_ = 0;
  uint64_t payload_offset_ = 0;
};

}  // namespace starling::estargz
