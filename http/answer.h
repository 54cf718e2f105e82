#pragma once

#include <cstdint>
#include <functional>
#include <optional>
#include <string>
#include <string_view>

namespace starling::http {

/// A request is not longer, headers included.
inline constexpr size_t kMaxRequestBytes = 8 << 10;

/// A GET or HEAD (RFC 9112).
struct Request {
  std::string path;  // "/metrics", without the query
  std::string host;  // as the header has it, with a port or without; may be empty
};

struct Answer {
  std::string status = "200 OK";
  std::string content_type = "text/plain; charset=utf-8";
  std::string headers;  // more of them, each with its line end
  std::string body;
};

/// One line for people.
Answer Refusal(std::string_view status, std::string_view why);

/// Answers what was asked; the body is left away for a HEAD.
using Handler = std::function<Answer(const Request&)>;

/// The whole answer to what has come of a request on a connection that ends with it; nothing while
/// the rest is to be waited for. Who asks for anything but a path by GET or HEAD is refused without
/// the handler.
std::optional<std::string> AnswerTo(std::string_view request, const Handler& handler);

}  // namespace starling::http
