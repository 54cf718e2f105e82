#pragma once

#include <cstdint>
#include <functional>
#include <optional>
#include <string>
#include <string_view>

namespace starling::metrics {

/// What is served at /metrics.
struct Page {
  std::string content_type;
  std::function<std::string()> write;
};

/// A request is not longer, headers included.
inline constexpr size_t kMaxRequestBytes = 8 << 10;

/// The whole answer to what has come of a request on a connection that ends with it; nothing while
/// the rest is to be waited for. GET and HEAD of /metrics alone are answered with 200 (RFC 9112);
/// the page is written for these only.
std::optional<std::string> AnswerTo(std::string_view request, const Page& page);

}  // namespace starling::metrics
