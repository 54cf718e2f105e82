#include "layer/range_stream.h"

#include <algorithm>
#include <deque>
#include <utility>

#include "base/clock.h"
#include "base/mutex.h"
#include "layer/counters.h"

namespace starling::layer {

struct RangeStream::Range {
  std::chrono::steady_clock::time_point sent;
  uint64_t size_bytes = 0;
  Bytes bytes;            // that came
  size_t read_bytes = 0;  // of them
  bool is_done = false;
  Status status;
};

/// What requests on their way own, so that they may outlive the stream.
struct RangeStream::Shared {
  explicit Shared(std::shared_ptr<oci::BlobReader> blob, FetchCounters& fetch_counters)
      : reader(std::move(blob)), counters(&fetch_counters) {}

  void OnPart(Range& range, ByteSpan part);
  void OnDone(Range& range, const Status& status);

  const std::shared_ptr<oci::BlobReader> reader;
  Mutex mutex;  // leaf
  Condition changed;
  FetchCounters* counters GUARDED_BY(mutex);  // null once the stream has gone
  bool cancelled GUARDED_BY(mutex) = false;
  std::deque<std::shared_ptr<Range>> ranges GUARDED_BY(mutex);  // in order; all but read ones
};

void RangeStream::Shared::OnPart(Range& range, ByteSpan part) {
  MutexLock lock(mutex);
  if (counters == nullptr) {
    return;
  }
  counters->CountBytes(Purpose::kWhole, part.size());
  const size_t wanted = std::min<uint64_t>(part.size(), range.size_bytes - range.bytes.size());
  range.bytes.insert(range.bytes.end(), part.begin(),
                     part.begin() + static_cast<ptrdiff_t>(wanted));
  changed.NotifyAll();
}

void RangeStream::Shared::OnDone(Range& range, const Status& status) {
  MutexLock lock(mutex);
  range.is_done = true;
  range.status = status;
  if (counters != nullptr) {
    counters->Of(Purpose::kWhole).durations.Observe(SystemClock().Now() - range.sent);
  }
  if (status.ok() && range.bytes.size() != range.size_bytes) {
    range.status = MakeError(StatusCode::kDataLoss, "a range of the wrong size arrived");
  }
  changed.NotifyAll();
}

RangeStream::RangeStream(oci::OpenedBlob blob, std::string host,
                         std::shared_ptr<FetchScheduler> scheduler, FetchCounters& counters,
                         const Options& options)
    : shared_(std::make_shared<Shared>(std::move(blob.reader), counters)),
      host_(std::move(host)),
      scheduler_(std::move(scheduler)),
      options_(options),
      ranges_end_(shared_->reader->SizeBytes() - blob.tail.size()),
      tail_(std::move(blob.tail)) {}

RangeStream::~RangeStream() {
  MutexLock lock(shared_->mutex);
  shared_->counters = nullptr;
  shared_->ranges.clear();
}

void RangeStream::Cancel() {
  MutexLock lock(shared_->mutex);
  shared_->cancelled = true;
  shared_->changed.NotifyAll();
}

/// How many ranges may be on their way. A window that limits the rate it is computed from grows
/// until the link does.
size_t RangeStream::Window() {
  const std::optional<MeasuredLink> link = scheduler_ ? scheduler_->LinkTo(host_) : std::nullopt;
  const uint64_t wanted_bytes = link ? 2 * link->round_trip_bytes() : 0;
  const uint64_t wanted = (wanted_bytes + options_.range_bytes - 1) / options_.range_bytes;
  return std::clamp<uint64_t>(wanted, options_.ranges_in_flight,
                              std::max(options_.ranges_in_flight, options_.max_ranges_in_flight));
}

/// Asks for as many ranges as may be on their way; the tail follows the last one.
void RangeStream::StartRanges() {
  const size_t window = Window();
  for (;;) {
    const auto range = std::make_shared<Range>();
    {
      MutexLock lock(shared_->mutex);
      if (shared_->cancelled || shared_->ranges.size() >= window) {
        return;
      }
      if (next_offset_ == ranges_end_) {
        if (!tail_.empty()) {
          range->size_bytes = tail_.size();
          range->bytes = std::exchange(tail_, {});
          range->is_done = true;
          shared_->ranges.push_back(range);
        }
        return;
      }
      range->size_bytes = std::min(options_.range_bytes, ranges_end_ - next_offset_);
      range->bytes.reserve(range->size_bytes);
      shared_->ranges.push_back(range);
      range->sent = SystemClock().Now();
      shared_->counters->CountRequest(Purpose::kWhole);
    }
    const oci::BlobRange wanted{.blob_offset = next_offset_, .size_bytes = range->size_bytes};
    next_offset_ = wanted.end();
    // A client waits for the layer, so its ranges are as urgent as a read.
    constexpr auto kClass = oci::FetchClass::kDemand;
    const std::shared_ptr<FetchScheduler::Flight> flight =
        scheduler_ ? scheduler_->Begin(host_, kClass, wanted.size_bytes) : nullptr;
    // The callbacks own the reader, so it outlives them.
    shared_->reader->Stream(
        wanted, {.fetch_class = kClass, .timeout = oci::BlobReader::kWaitLimit},
        [shared = shared_, range, flight](ByteSpan part) {
          if (flight) {
            flight->OnBytes(part.size());
          }
          shared->OnPart(*range, part);
        },
        [shared = shared_, range](const Status& status) { shared->OnDone(*range, status); });
  }
}

StatusOr<size_t> RangeStream::Read(std::span<std::byte> out) {
  if (out.empty()) {
    return 0;
  }
  for (;;) {
    StartRanges();
    size_t count = 0;
    {
      MutexLock lock(shared_->mutex);
      std::deque<std::shared_ptr<Range>>& ranges = shared_->ranges;
      while (!shared_->cancelled && !ranges.empty() && !ranges.front()->is_done &&
             ranges.front()->read_bytes == ranges.front()->bytes.size()) {
        shared_->changed.Wait(shared_->mutex);
      }
      if (shared_->cancelled) {
        return MakeError(StatusCode::kCancelled, "the layer is not wanted any more");
      }
      if (ranges.empty()) {
        return 0;
      }
      Range& front = *ranges.front();
      count = std::min(out.size(), front.bytes.size() - front.read_bytes);
      if (count == 0) {
        RETURN_IF_ERROR(front.status);
        ranges.pop_front();
        continue;
      }
      std::copy_n(front.bytes.begin() + static_cast<ptrdiff_t>(front.read_bytes), count,
                  out.begin());
      front.read_bytes += count;
    }
    hash_.Update(out.first(count));
    return count;
  }
}

}  // namespace starling::layer
