/// What one process leaves to the next next to its descriptors: names and values.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "base/bytes.h"
#include "base/status.h"

namespace starling::keeper {

/// Changes with the format, and with the meaning of any entry: programs of different versions do
/// not take over from each other.
inline constexpr uint32_t kWireVersion = 1;

/// All of it, encoded: one page, so that a process that is killed while it writes leaves the old
/// state or the new one.
inline constexpr size_t kMaxStateBytes = 4096;
inline constexpr size_t kMaxEntries = 32;
inline constexpr size_t kMaxNameBytes = 32;

struct Entry {
  std::string name;  // a-z and '-', 1 to kMaxNameBytes; unique
  Bytes value;
  int32_t fd = -1;  // a descriptor's number in the process that reads this
  bool operator==(const Entry&) const = default;
};

/// kInvalidArgument for what Decode would refuse.
StatusOr<Bytes> Encode(const std::vector<Entry>& entries);
/// kFailedPrecondition for another wire version, kDataLoss for anything else that Encode does not
/// write.
StatusOr<std::vector<Entry>> Decode(ByteSpan bytes);

}  // namespace starling::keeper
