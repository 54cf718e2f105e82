#pragma once

#include <chrono>
#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "layer/chunk_table.h"
#include "layer/latest.h"
#include "store/layer_store.h"

namespace starling::layer {

/// What a read waited for.
enum class ReadCause { kQueue, kNetwork, kDecode, kDisk };
/// "queue", "network", "decode" or "disk".
std::string_view NameOf(ReadCause cause);

/// Where the time of a read went, of what came last of its bytes.
struct ReadTimes {
  using Duration = std::chrono::steady_clock::duration;
  using TimePoint = std::chrono::steady_clock::time_point;

  Duration queue{};    // until a request was sent: for memory, or for a place to ask
  Duration network{};  // until its last byte had come, retries included
  Duration decode{};   // until that was decoded, verified and stored, with the wait for a thread
  Duration disk{};     // the rest: reading what is held, copying what another layer holds

  /// When that happened; an epoch: it did not. Moments before `begun` are that.
  struct Moments {
    TimePoint sent{};
    TimePoint came{};
    TimePoint stored{};
  };
  static ReadTimes Of(TimePoint begun, const Moments& moments, TimePoint ended);

  ReadTimes& operator+=(const ReadTimes& other);
  Duration total() const { return queue + network + decode + disk; }
  /// The longest part.
  ReadCause cause() const;
  friend bool operator==(const ReadTimes&, const ReadTimes&) = default;
};

/// A read that had to wait.
struct SlowRead {
  store::LayerKey layer;
  DataRange range;
  ReadTimes times;
  std::chrono::system_clock::time_point ended;
  bool failed = false;
  std::string container;  // of who read, if it was known by the end; empty: none, or unknown

  friend bool operator==(const SlowRead&, const SlowRead&) = default;
};

/// A slow read with the name of what was read.
struct NamedRead {
  SlowRead read;
  std::string file;         // from the layer's root, "/usr/bin/x"; empty: unknown
  uint64_t more_files = 0;  // that the read reached into

  friend bool operator==(const NamedRead&, const NamedRead&) = default;
};

/// The latest slow reads of all layers, in memory that does not grow. Threads: safe.
class SlowReads {
 public:
  static constexpr size_t kKept = 1024;
  /// What is answered sooner is not slow.
  static constexpr std::chrono::milliseconds kSlow{10};

  void Add(const SlowRead& read);
  struct Trace {
    std::vector<SlowRead> reads;  // oldest first
    uint64_t forgotten = 0;       // earlier ones
  };
  Trace List() const;

 private:
  Latest<SlowRead, kKept> latest_;
};

}  // namespace starling::layer
