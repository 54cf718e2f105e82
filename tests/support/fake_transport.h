#pragma once

#include <functional>
#include <string>
#include <utility>
#include <vector>

#include "base/executor.h"
#include "base/mutex.h"
#include "registry/http_transport.h"
#include "tests/support/manual_clock.h"

namespace starling::testing_support {

/// A network that is a function: every request goes to the handler, on one thread of its own, and
/// is recorded. Delays advance the clock instead of passing.
class FakeTransport : public registry::HttpTransport {
 public:
  using Handler =
      std::function<StatusOr<registry::HttpResponse>(const registry::HttpRequest& request)>;
  FakeTransport(ManualClock& clock, Handler handler)
      : clock_(clock), handler_(std::move(handler)), net_("fake-net", 1) {}

  void Send(registry::HttpRequest request, Done done) override {
    net_.Post([this, request = std::move(request), done = std::move(done)] {
      {
        MutexLock lock(mutex_);
        requests_.push_back(request);
      }
      done(Answer(request));
    });
  }

  void RunAfter(std::chrono::milliseconds delay, std::function<void()> task) override {
    {
      MutexLock lock(mutex_);
      delays_.push_back(delay);
    }
    net_.Post([this, delay, task = std::move(task)] {
      clock_.Advance(delay);
      task();
    });
  }

  std::vector<registry::HttpRequest> requests() {
    MutexLock lock(mutex_);
    return requests_;
  }
  std::vector<std::chrono::milliseconds> delays() {
    MutexLock lock(mutex_);
    return delays_;
  }
  /// The value of a header of a recorded request; empty when absent.
  static std::string HeaderOf(const registry::HttpRequest& request, std::string_view name) {
    for (const registry::Header& header : request.headers) {
      if (header.name == name) {
        return header.value;
      }
    }
    return {};
  }

 private:
  StatusOr<registry::HttpResponse> Answer(const registry::HttpRequest& request) {
    auto response = handler_(request);
    if (!response.ok()) {
      return response;
    }
    if (request.on_headers) {
      RETURN_IF_ERROR(request.on_headers(*response));
    }
    if (request.on_body && response->status >= 200 && response->status < 300) {
      return AnswerInParts(request, *std::move(response));
    }
    if (request.download && response->status >= 200 && response->status < 300) {
      RETURN_IF_ERROR(request.download->Write(response->body));
      response->body.clear();
    } else if (response->body.size() > request.max_body_bytes) {
      return MakeError(StatusCode::kResourceExhausted, "body too large");
    }
    return response;
  }

  /// Two parts, so that nobody takes the first for the whole.
  static StatusOr<registry::HttpResponse> AnswerInParts(const registry::HttpRequest& request,
                                                        registry::HttpResponse response) {
    const Bytes body = std::exchange(response.body, {});
    const size_t half = body.size() / 2;
    RETURN_IF_ERROR(request.on_body(ByteSpan(body).first(half)));
    RETURN_IF_ERROR(request.on_body(ByteSpan(body).subspan(half)));
    return response;
  }

  ManualClock& clock_;
  const Handler handler_;
  Mutex mutex_;  // leaf
  std::vector<registry::HttpRequest> requests_ GUARDED_BY(mutex_);
  std::vector<std::chrono::milliseconds> delays_ GUARDED_BY(mutex_);
  ThreadPool net_;  // last: its thread uses the rest
};

}  // namespace starling::testing_support
