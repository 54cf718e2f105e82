#include "keeper/state.h"

#include <algorithm>
#include <set>
#include <string_view>

namespace starling::keeper {
namespace {

constexpr std::string_view kMagic = "starling-state\n";

bool IsName(std::string_view name) {
  return !name.empty() && name.size() <= kMaxNameBytes &&
         std::ranges::all_of(name, [](char c) { return (c >= 'a' && c <= 'z') || c == '-'; });
}

void AppendNumber(Bytes& out, uint64_t number, size_t width_bytes) {
  for (size_t i = 0; i < width_bytes; ++i) {
    out.push_back(static_cast<std::byte>(number >> (8 * i)));
  }
}

Status Damaged(std::string_view what) {
  return MakeError(StatusCode::kDataLoss, fmt::format("kept state: {}", what));
}

/// Little-endian numbers and byte strings, one after the other.
class Reader {
 public:
  explicit Reader(ByteSpan left) : left_(left) {}

  StatusOr<ByteSpan> Take(size_t size_bytes) {
    if (left_.size() < size_bytes) {
      return Damaged("ends too early");
    }
    const ByteSpan taken = left_.first(size_bytes);
    left_ = left_.subspan(size_bytes);
    return taken;
  }
  StatusOr<uint32_t> Number(size_t width_bytes) {
    ASSIGN_OR_RETURN(const ByteSpan bytes, Take(width_bytes));
    uint32_t number = 0;
    for (size_t i = 0; i < bytes.size(); ++i) {
      number |= static_cast<uint32_t>(bytes[i]) << (8 * i);
    }
    return number;
  }
  bool AtEnd() const { return left_.empty(); }

 private:
  ByteSpan left_;
};

StatusOr<Entry> ReadEntry(Reader& reader) {
  Entry entry;
  ASSIGN_OR_RETURN(const uint32_t name_bytes, reader.Number(1));
  ASSIGN_OR_RETURN(const ByteSpan name, reader.Take(name_bytes));
  entry.name = AsText(name);
  ASSIGN_OR_RETURN(const uint32_t fd, reader.Number(4));
  entry.fd = static_cast<int32_t>(fd);
  ASSIGN_OR_RETURN(const uint32_t value_bytes, reader.Number(2));
  ASSIGN_OR_RETURN(const ByteSpan value, reader.Take(value_bytes));
  entry.value.assign(value.begin(), value.end());
  if (!IsName(entry.name) || entry.fd < 0) {
    return Damaged("an entry that cannot be");
  }
  return entry;
}

}  // namespace

StatusOr<Bytes> Encode(const std::vector<Entry>& entries) {
  Bytes out = ToBytes(kMagic);
  AppendNumber(out, kWireVersion, 4);
  AppendNumber(out, entries.size(), 1);
  for (const Entry& entry : entries) {
    if (!IsName(entry.name) || entry.fd < 0 || entry.value.size() > kMaxStateBytes) {
      return MakeError(StatusCode::kInvalidArgument,
                       fmt::format("kept state: an entry \"{}\" cannot be", entry.name));
    }
    AppendNumber(out, entry.name.size(), 1);
    Append(out, AsBytes(entry.name));
    AppendNumber(out, static_cast<uint32_t>(entry.fd), 4);
    AppendNumber(out, entry.value.size(), 2);
    Append(out, entry.value);
  }
  if (entries.size() > kMaxEntries || out.size() > kMaxStateBytes) {
    return MakeError(
        StatusCode::kInvalidArgument,
        fmt::format("kept state: {} entries of {} bytes are too much", entries.size(), out.size()));
  }
  RETURN_IF_ERROR(Decode(out).status());
  return out;
}

StatusOr<std::vector<Entry>> Decode(ByteSpan bytes) {
  if (bytes.size() > kMaxStateBytes) {
    return Damaged("too large");
  }
  Reader reader(bytes);
  ASSIGN_OR_RETURN(const ByteSpan magic, reader.Take(kMagic.size()));
  if (AsText(magic) != kMagic) {
    return Damaged("something else");
  }
  ASSIGN_OR_RETURN(const uint32_t version, reader.Number(4));
  if (version != kWireVersion) {
    return MakeError(StatusCode::kFailedPrecondition,
                     fmt::format("kept state has wire version {}, this program knows {}: it can "
                                 "take over after a stop only",
                                 version, kWireVersion));
  }
  ASSIGN_OR_RETURN(const uint32_t count, reader.Number(1));
  if (count > kMaxEntries) {
    return Damaged("too many entries");
  }
  std::vector<Entry> entries;
  std::set<std::string> names;
  for (uint32_t i = 0; i < count; ++i) {
    ASSIGN_OR_RETURN(Entry entry, ReadEntry(reader));
    if (!names.insert(entry.name).second) {
      return Damaged("a name that is there twice");
    }
    entries.push_back(std::move(entry));
  }
  return reader.AtEnd() ? StatusOr<std::vector<Entry>>(std::move(entries))
                        : Damaged("more than its entries");
}

}  // namespace starling::keeper
