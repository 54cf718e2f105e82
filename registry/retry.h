#pragma once

#include <chrono>
#include <memory>
#include <optional>
#include <string_view>

#include "base/clock.h"
#include "registry/host_pauses.h"
#include "registry/http_transport.h"
#include "registry/outages.h"

namespace starling::registry {

struct RetryPolicy {
  /// For all tries and the waits between them.
  std::chrono::steady_clock::time_point deadline;
  int max_retries = 5;
};

/// True for 408, 429 and 5xx but 501 and 505: the server may think better of it.
bool IsRetryable(int http_status);
bool IsRetryable(const Status& status);

/// How long to wait before retry number `retry` (0 is the first): 100 ms, doubling up to 10 s,
/// shortened by up to half at random, so that many clients do not come back at once.
std::chrono::milliseconds RetryDelay(int retry);

/// How often those ask who wait for the answer to another request.
inline constexpr std::chrono::milliseconds kPollOfOthers{100};
/// Longer at random, by a tenth and half a second at most, so that not all come back in the same
/// moment, nor all clients of a host.
std::chrono::milliseconds WithSpread(std::chrono::steady_clock::duration wait);

/// Seconds or a date (RFC 9110, section 10.2.3). Nothing when unreadable; never negative.
std::optional<std::chrono::milliseconds> ParseRetryAfter(std::string_view value,
                                                         std::chrono::system_clock::time_point now);

/// What requests are sent with.
struct RetryDependencies {
  HttpTransport& transport;
  const Clock& clock;
  std::shared_ptr<HostPauses> pauses;
  std::shared_ptr<Outages> outages;
};

/// Sends `request` until it gets an answer that is not retryable, or the policy ends it: then the
/// last answer or error. Waits while its host has asked anybody for a pause; kUnavailable when that
/// would take longer than the deadline. Waits with all others while its host is away, until the
/// deadline (kDeadlineExceeded, with the reason) or its retries, of which each wait is one, end;
/// not at all with one retry or none, because then there is another place to ask.
/// `request.timeout` is ignored, the deadline counts. A connection that breaks is not tried again
/// when pipes are involved, because their bytes are gone, nor once `on_body` has taken some.
/// Never blocks.
void SendWithRetries(const RetryDependencies& dependencies, HttpRequest request, RetryPolicy policy,
                     HttpTransport::Done done);

}  // namespace starling::registry
