#pragma once

#include <chrono>

namespace starling::keeper {

/// How long to wait before a server that has died is started again. Never gives up: readers wait
/// for the next server as long as the mounts are kept.
///
/// The first death in a row is answered at once, the next after 10 ms, then twice as long each
/// time: up to 250 ms when the server came to serve, up to 2 s when it did not. A server that
/// lived for 10 s ends the row. Threads: one at a time.
class Backoff {
 public:
  static constexpr std::chrono::milliseconds kFirst{10};
  static constexpr std::chrono::milliseconds kMostAfterServing{250};
  static constexpr std::chrono::milliseconds kMostAfterFailing{2000};
  static constexpr std::chrono::milliseconds kHealthyLife{10'000};

  std::chrono::milliseconds Next(std::chrono::milliseconds lived, bool has_served);
  /// Deaths in a row, the last one included.
  int deaths() const { return deaths_; }
  void Reset() { deaths_ = 0; }

 private:
  int deaths_ = 0;
};

}  // namespace starling::keeper
