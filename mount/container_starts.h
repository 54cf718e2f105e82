/// Which layers containers start on, and when.
#pragma once

#include <chrono>
#include <cstdint>
#include <map>
#include <optional>

namespace starling::mount {

/// Notes when overlays of layers are about to be mounted. Threads: one at a time.
class ContainerStarts {
 public:
  using TimePoint = std::chrono::steady_clock::time_point;
  /// A client may ask for the mounts of one container more than once; later it is another start.
  static constexpr std::chrono::seconds kOneStart{1};

  /// An overlay of the layer `number` is about to be mounted. True when a container was started on
  /// it before: that needed what this one needs, which is the case of each step of a build.
  bool Note(uint64_t number, TimePoint now);
  /// The latest of the layer; nothing when there was none.
  std::optional<TimePoint> Latest(uint64_t number) const;
  void Forget(uint64_t number) { times_.erase(number); }

 private:
  struct Times {
    TimePoint first;
    TimePoint latest;
  };
  std::map<uint64_t, Times> times_;
};

}  // namespace starling::mount
