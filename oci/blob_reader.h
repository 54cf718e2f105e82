#pragma once

#include <chrono>
#include <functional>
#include <limits>
#include <memory>
#include <optional>
#include <stop_token>

#include "base/bytes.h"
#include "base/status.h"

namespace starling::oci {

/// Why bytes are wanted, most urgent first. Transports may order their work by it.
enum class FetchClass {
  kDemand,
  kReadahead,
  kPrefetch,
  kBackground,
  kRest,  // background work, too: what hardly anybody will read
};

struct BlobRange {
  uint64_t blob_offset = 0;  // from the blob's first stored byte
  uint64_t size_bytes = 0;

  uint64_t end() const { return blob_offset + size_bytes; }
  friend bool operator==(const BlobRange&, const BlobRange&) = default;
};

struct ReadOptions {
  FetchClass fetch_class = FetchClass::kDemand;
  /// One deadline for the whole read, retries included. Absent: as the place is configured.
  std::optional<std::chrono::milliseconds> timeout;
  /// Tries after the first one. As a rule an outage is a pause, as long as the timeout allows.
  int max_retries = std::numeric_limits<int>::max();
  /// When asked to stop, the read ends with kCancelled as soon as it may, whatever came of it.
  std::stop_token stop;
  /// Not over a connection that others use.
  bool own_connection = false;
};

/// Random access to the stored (compressed) bytes of one blob, wherever they live.
/// Threads: safe; any number may read at once.
class BlobReader {
 public:
  using Done = std::function<void(StatusOr<Bytes>)>;
  virtual ~BlobReader() = default;

  /// Size as stored, in bytes. Constant for the object's life.
  virtual uint64_t SizeBytes() const = 0;
  /// Reads `range` and calls `done` exactly once with all of its bytes, or an error, on a thread
  /// that is not the caller's or on the caller's own; holds no lock then. Never blocks for the
  /// network. The object must live until every `done` has returned. Errors: kOutOfRange past the
  /// end; kUnavailable and kDeadlineExceeded are worth a retry; kDataLoss is not.
  virtual void Read(BlobRange range, const ReadOptions& options, Done done) = 0;

  /// Takes the next bytes of a range. Must not block; holds them no longer than the call.
  using Part = std::function<void(ByteSpan)>;
  using StreamDone = std::function<void(const Status&)>;
  /// Read, but the bytes are handed to `part` in order as they come, each exactly once, before
  /// `done`: whoever needs the first of them does not wait for the last. After an error the parts
  /// that came stand. Parts come one at a time, on the threads that `done` may come on.
  virtual void Stream(BlobRange range, const ReadOptions& options, Part part, StreamDone done);

  /// True while the place that it reads from has asked to be left alone for a while: reads wait.
  virtual bool IsPaused() { return false; }

  /// For whoever waits on a thread, when the options do not say it.
  static constexpr std::chrono::seconds kWaitLimit{300};
  /// Read, and wait for it. Never call it on a thread that serves FUSE or the network.
  StatusOr<Bytes> ReadAndWait(BlobRange range, const ReadOptions& options = {});
};

/// A blob whose last bytes came with the first request, which also told its size.
struct OpenedBlob {
  std::shared_ptr<BlobReader> reader;
  Bytes tail;  // the last min(asked, size) bytes
};

}  // namespace starling::oci
