#include "layer/read_request.h"

#include <utility>

namespace starling::layer {

void ReadRequest::Await(size_t members) {
  MutexLock lock(mutex_);
  members_left_ = members;
}

bool ReadRequest::HasCome() const {
  MutexLock lock(mutex_);
  return members_left_ == 0;
}

bool ReadRequest::Settle(const MemberOutcome& outcome) {
  MutexLock lock(mutex_);
  error_.Update(outcome.error);
  moments_ = outcome.moments;
  for (const auto& [chunk, error] : outcome.failed_chunks) {
    if (Needs(chunk)) {
      error_.Update(error);
    }
  }
  for (const SpilledChunk& spilled : outcome.spilled) {
    if (!Needs(spilled.chunk)) {
      continue;
    }
    if (wants == Wants::kBytes) {
      spilled_.push_back(spilled);
    } else {
      error_.Update(MakeError(StatusCode::kResourceExhausted, "layer: the disk is full"));
    }
  }
  return --members_left_ == 0;
}

void ReadRequest::Fail(const Status& error) {
  MutexLock lock(mutex_);
  error_.Update(error);
}

void ReadRequest::Take(const SpilledChunk& spilled) {
  MutexLock lock(mutex_);
  spilled_.push_back(spilled);
}

ReadRequest::Result ReadRequest::TakeResult() {
  MutexLock lock(mutex_);
  return {.error = error_, .spilled = std::exchange(spilled_, {})};
}

ReadTimes::Moments ReadRequest::moments() const {
  MutexLock lock(mutex_);
  return moments_;
}

}  // namespace starling::layer
