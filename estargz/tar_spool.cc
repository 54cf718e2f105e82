#include "estargz/tar_spool.h"

#include <fcntl.h>

#include <algorithm>
#include <string_view>
#include <unordered_map>

#include "base/file_system.h"
#include "base/temp_dir.h"
#include "estargz/toc_writer.h"

namespace starling::estargz {
namespace {

constexpr size_t kCopyBytes = 1 << 20;

/// Decides the order in which entries are given out.
class Ordering {
 public:
  Ordering(const std::vector<const TarEntry*>& entries, std::vector<size_t>& order)
      : entries_(entries), placed_(entries.size()), order_(order) {
    for (size_t i = 0; i < entries.size(); ++i) {
      if (entries[i]->type == TarType::kGlobalHeader) {
        continue;
      }
      const auto [known, is_new] = by_name_.try_emplace(CleanName(entries[i]->name), i);
      if (!is_new) {
        placed_[known->second] = true;  // dropped: what comes later replaces it
        known->second = i;
      }
    }
  }

  void PlaceGlobalHeaders() {
    for (size_t i = 0; i < entries_.size(); ++i) {
      if (entries_[i]->type == TarType::kGlobalHeader) {
        Place(i);
      }
    }
  }

  /// The entry behind all that it needs. Links to links are followed without recursion: their
  /// number is the tar's choice. A cycle ends where it began.
  void PlaceWithNeeds(const std::string& name) {
    std::vector<size_t> chain;
    auto found = by_name_.find(name);
    while (found != by_name_.end() && !placed_[found->second]) {
      const size_t i = found->second;
      placed_[i] = true;
      chain.push_back(i);
      found = entries_[i]->type == TarType::kHardlink
                  ? by_name_.find(CleanName(entries_[i]->link_name))
                  : by_name_.end();
    }
    for (auto i = chain.rbegin(); i != chain.rend(); ++i) {
      PlaceParents(CleanName(entries_[*i]->name));
      order_.push_back(*i);
    }
  }

  void PlaceRest() {
    for (size_t i = 0; i < entries_.size(); ++i) {
      Place(i);
    }
  }

 private:
  void Place(size_t i) {
    if (!placed_[i]) {
      placed_[i] = true;
      order_.push_back(i);
    }
  }

  void PlaceParents(const std::string& name) {
    PlaceIfDirectory("");
    for (size_t slash = name.find('/'); slash != std::string::npos;
         slash = name.find('/', slash + 1)) {
      PlaceIfDirectory(name.substr(0, slash));
    }
  }

  void PlaceIfDirectory(const std::string& name) {
    const auto found = by_name_.find(name);
    if (found != by_name_.end() && entries_[found->second]->type == TarType::kDirectory) {
      Place(found->second);
    }
  }

  const std::vector<const TarEntry*>& entries_;
  std::vector<bool> placed_;
  std::vector<size_t>& order_;
  std::unordered_map<std::string, size_t> by_name_;
};

}  // namespace

StatusOr<std::unique_ptr<TarSpool>> TarSpool::Make(TarEntrySource& tar,
                                                   const std::vector<std::string>& prioritized,
                                                   const std::filesystem::path& directory) {
  ASSIGN_OR_RETURN(const TempDir parent, TempDir::Make(directory, "starling-spool-"));
  ASSIGN_OR_RETURN(UniqueFd fd,
                   RealFileSystem().Open(parent.path() / "tar", O_CREAT | O_EXCL | O_RDWR, 0600));
  // Not make_unique: the constructor is private.
  std::unique_ptr<TarSpool> spool(new TarSpool(std::move(fd)));
  RETURN_IF_ERROR(spool->Fill(tar));
  spool->Order(prioritized);
  return spool;
}

Status TarSpool::Fill(TarEntrySource& tar) {
  Bytes buffer(kCopyBytes);
  uint64_t spool_offset = 0;
  for (;;) {
    ASSIGN_OR_RETURN(std::optional<TarEntry> entry, tar.Next());
    if (!entry) {
      return OkStatus();
    }
    if (entry->uses_global_header) {
      return MakeError(StatusCode::kUnimplemented,
                       fmt::format("tar entry \"{}\" takes values from a global PAX header; such a "
                                   "layer cannot be reordered for prioritized files",
                                   entry->name));
    }
    Spooled spooled{.spool_offset = spool_offset, .header_bytes = entry->header.size()};
    RETURN_IF_ERROR(RealFileSystem().WriteAt(fd_.get(), spool_offset, entry->header));
    spool_offset += entry->header.size();
    for (uint64_t left = entry->size_bytes; left > 0;) {
      const std::span<std::byte> part =
          std::span(buffer).first(std::min<uint64_t>(left, kCopyBytes));
      RETURN_IF_ERROR(tar.ReadPayload(part));
      RETURN_IF_ERROR(RealFileSystem().WriteAt(fd_.get(), spool_offset, part));
      spool_offset += part.size();
      left -= part.size();
    }
    entry->header = Bytes();
    spooled.entry = *std::move(entry);
    entries_.push_back(std::move(spooled));
  }
}

void TarSpool::Order(const std::vector<std::string>& prioritized) {
  std::vector<const TarEntry*> entries;
  entries.reserve(entries_.size());
  for (const Spooled& spooled : entries_) {
    entries.push_back(&spooled.entry);
  }
  Ordering ordering(entries, order_);
  ordering.PlaceGlobalHeaders();
  for (const std::string& name : prioritized) {
    ordering.PlaceWithNeeds(CleanName(name));
  }
  prioritized_entries_ = order_.size();
  ordering.PlaceRest();
}

StatusOr<std::optional<TarEntry>> TarSpool::Next() {
  if (next_ == order_.size()) {
    return std::nullopt;
  }
  Spooled& spooled = entries_[order_[next_++]];
  TarEntry entry = std::move(spooled.entry);
  entry.header.resize(spooled.header_bytes);
  RETURN_IF_ERROR(RealFileSystem().ReadAt(fd_.get(), spooled.spool_offset, entry.header));
  payload_offset_ = spooled.spool_offset + spooled.header_bytes;
  return entry;
}

Status TarSpool::ReadPayload(std::span<std::byte> out) {
  RETURN_IF_ERROR(RealFileSystem().ReadAt(fd_.get(), payload_offset_, out));
  payload_offset_ += out.size();
  return OkStatus();
}

}  // namespace starling::estargz
