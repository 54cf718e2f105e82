/// The values of the snapshots API.
#pragma once

#include <chrono>
#include <cstdint>
#include <map>
#include <string>

namespace starling::snapshotter {

/// Numbered as on the wire and in the database.
enum class Kind { kView = 1, kActive = 2, kCommitted = 3 };

using Labels = std::map<std::string, std::string>;

/// UTC. Nanoseconds, because clients compare what they get with what they got before.
using Timestamp = std::chrono::sys_time<std::chrono::nanoseconds>;

/// What a client may know of one snapshot. Keys of active snapshots and views and names of
/// committed ones share one key space; both are arbitrary text and never a file name.
struct Info {
  std::string name;
  std::string parent;  // name of a committed snapshot, or empty
  Kind kind = Kind::kActive;
  Timestamp created;
  Timestamp updated;
  Labels labels;

  friend bool operator==(const Info&, const Info&) = default;
};

/// Of one snapshot alone, without its parents.
struct Usage {
  uint64_t size_bytes = 0;
  uint64_t inodes = 0;

  friend bool operator==(const Usage&, const Usage&) = default;
};

}  // namespace starling::snapshotter
