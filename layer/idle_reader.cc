#include "layer/idle_reader.h"

#include <utility>

namespace starling::layer {

StatusOr<Bytes> IdleReader::Read(oci::BlobRange range) {
  ASSIGN_OR_RETURN(BlobSources::Source source, layer_->OpenSource());
  const std::string host = source.host;
  const std::string image = source.image;
  {
    MutexLock lock(mutex_);
    result_.reset();
    if (!stop_.stop_requested()) {
      waiting_ = {.range = range, .source = std::move(source)};
    } else {
      result_ = MakeError(StatusCode::kCancelled, "idle reader: cancelled");
    }
  }
  scheduler_->Enlist(host, oci::FetchClass::kRest, shared_from_this(), image);
  MutexLock lock(mutex_);
  while (!result_) {
    changed_.Wait(mutex_);
  }
  return *std::exchange(result_, std::nullopt);
}

void IdleReader::Cancel() {
  stop_.request_stop();
  MutexLock lock(mutex_);
  // What has begun ends by the stop.
  if (waiting_) {
    waiting_.reset();
    result_ = MakeError(StatusCode::kCancelled, "idle reader: cancelled");
    changed_.NotifyAll();
  }
}

bool IdleReader::StartNext(oci::FetchClass fetch_class, uint64_t) {
  std::optional<Waiting> next;
  {
    MutexLock lock(mutex_);
    next = std::exchange(waiting_, std::nullopt);
  }
  if (!next) {
    return false;
  }
  counters_.CountRequest(PurposeOf(fetch_class));
  layer_->tally().OnRequest(PurposeOf(fetch_class));
  const auto flight =
      scheduler_->Begin(next->source.host, fetch_class, next->range.size_bytes, next->source.image);
  oci::ReadOptions options;
  options.fetch_class = fetch_class;
  options.stop = stop_.get_token();
  // The callback owns the reader, so that it outlives the read.
  next->source.reader->Read(
      next->range, options,
      [self = shared_from_this(), flight, fetch_class, sent = SystemClock().WallTime(),
       reader = next->source.reader](StatusOr<Bytes> bytes) {
        self->layer_->Trace({.layer = {},
                             .purpose = PurposeOf(fetch_class),
                             .bytes = bytes.ok() ? bytes->size() : 0,
                             .sent = sent,
                             .ended = SystemClock().WallTime(),
                             .failed = !bytes.ok()});
        if (bytes.ok()) {
          self->counters_.CountBytes(PurposeOf(fetch_class), bytes->size());
          self->layer_->tally().OnBytes(PurposeOf(fetch_class), bytes->size());
          flight->OnBytes(bytes->size());
        }
        self->OnRead(std::move(bytes));
      });
  return true;
}

void IdleReader::OnRead(StatusOr<Bytes> bytes) {
  MutexLock lock(mutex_);
  result_ = std::move(bytes);
  changed_.NotifyAll();
}

}  // namespace starling::layer
