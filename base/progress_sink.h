#pragma once

#include <stop_token>
#include <string>
#include <utility>

#include "base/io.h"
#include "base/progress.h"

namespace starling {

/// Passes bytes on, tells `progress` of each as some of `part`, and ends with kCancelled once a
/// stop is asked for. Borrows all but the stop.
class ProgressSink : public ByteSink {
 public:
  ProgressSink(ByteSink& next, Progress& progress, const std::string& part,
               std::stop_token stop = {})
      : next_(next), progress_(progress), part_(part), stop_(std::move(stop)) {}
  Status Write(ByteSpan bytes) override {
    if (stop_.stop_requested()) {
      return MakeError(StatusCode::kCancelled, "stopped");
    }
    RETURN_IF_ERROR(next_.Write(bytes));
    progress_.Advance(part_, bytes.size());
    return OkStatus();
  }

 private:
  ByteSink& next_;
  Progress& progress_;
  const std::string& part_;
  const std::stop_token stop_;
};

}  // namespace starling
