#include "layer/slow_reads.h"

#include <algorithm>

namespace starling::layer {

std::string_view NameOf(ReadCause cause) {
  switch (cause) {
    case ReadCause::kQueue:
      return "queue";
    case ReadCause::kNetwork:
      return "network";
    case ReadCause::kDecode:
      return "decode";
    case ReadCause::kDisk:
      break;
  }
  return "disk";
}

ReadTimes ReadTimes::Of(TimePoint begun, const Moments& moments, TimePoint ended) {
  ended = std::max(begun, ended);
  const TimePoint sent = std::clamp(moments.sent, begun, ended);
  const TimePoint came = std::clamp(moments.came, sent, ended);
  const TimePoint stored = std::clamp(moments.stored, came, ended);
  return {.queue = sent - begun,
          .network = came - sent,
          .decode = stored - came,
          .disk = ended - stored};
}

ReadCause ReadTimes::cause() const {
  const std::pair<Duration, ReadCause> parts[] = {{network, ReadCause::kNetwork},
                                                  {queue, ReadCause::kQueue},
                                                  {decode, ReadCause::kDecode},
                                                  {disk, ReadCause::kDisk}};
  return std::ranges::max_element(parts, {}, &std::pair<Duration, ReadCause>::first)->second;
}

SlowReads::SlowReads() { reads_.reserve(kKept); }

void SlowReads::Add(const SlowRead& read) {
  if (read.times.total() < kSlow) {
    return;
  }
  MutexLock lock(mutex_);
  if (reads_.size() < kKept) {
    reads_.push_back(read);
  } else {
    reads_[added_ % kKept] = read;
  }
  ++added_;
}

SlowReads::Trace SlowReads::List() const {
  MutexLock lock(mutex_);
  Trace trace{.reads = reads_, .forgotten = added_ - reads_.size()};
  std::ranges::rotate(trace.reads,
                      trace.reads.begin() + static_cast<ptrdiff_t>(trace.forgotten % kKept));
  return trace;
}

}  // namespace starling::layer
