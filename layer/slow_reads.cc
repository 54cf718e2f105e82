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

ReadTimes& ReadTimes::operator+=(const ReadTimes& other) {
  queue += other.queue;
  network += other.network;
  decode += other.decode;
  disk += other.disk;
  return *this;
}

ReadCause ReadTimes::cause() const {
  const std::pair<Duration, ReadCause> parts[] = {{network, ReadCause::kNetwork},
                                                  {queue, ReadCause::kQueue},
                                                  {decode, ReadCause::kDecode},
                                                  {disk, ReadCause::kDisk}};
  return std::ranges::max_element(parts, {}, &std::pair<Duration, ReadCause>::first)->second;
}

void SlowReads::Add(const SlowRead& read) {
  if (read.times.total() >= kSlow) {
    latest_.Add(read);
  }
}

SlowReads::Trace SlowReads::List() const {
  auto all = latest_.List();
  return {.reads = std::move(all.kept), .forgotten = all.forgotten};
}

}  // namespace starling::layer
