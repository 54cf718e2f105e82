#include "metrics/http_answer.h"

#include <fmt/format.h>

namespace starling::metrics {
namespace {

constexpr std::string_view kPath = "/metrics";

std::string Answer(std::string_view status, std::string_view content_type, std::string_view body,
                   bool is_head, std::string_view more_headers = {}) {
  return fmt::format(
      "HTTP/1.1 {}\r\nContent-Type: {}\r\nContent-Length: {}\r\nConnection: close\r\n{}\r\n{}",
      status, content_type, body.size(), more_headers, is_head ? std::string_view() : body);
}

std::string Refusal(std::string_view status, std::string_view why, bool is_head = false,
                    std::string_view more_headers = {}) {
  return Answer(status, "text/plain; charset=utf-8", fmt::format("{}\n", why), is_head,
                more_headers);
}

/// Up to the next space; takes both off.
std::string_view TakeWord(std::string_view& line) {
  const size_t space = line.find(' ');
  const std::string_view word = line.substr(0, space);
  line.remove_prefix(space == std::string_view::npos ? line.size() : space + 1);
  return word;
}

}  // namespace

std::optional<std::string> AnswerTo(std::string_view request, const Page& page) {
  if (request.substr(0, kMaxRequestBytes).find("\r\n\r\n") == std::string_view::npos) {
    return request.size() < kMaxRequestBytes
               ? std::nullopt
               : std::optional(
                     Refusal("431 Request Header Fields Too Large", "the request is too long"));
  }
  std::string_view line = request.substr(0, request.find("\r\n"));
  const std::string_view method = TakeWord(line);
  const std::string_view target = TakeWord(line);
  if (method.empty() || !target.starts_with('/') || !line.starts_with("HTTP/1.")) {
    return Refusal("400 Bad Request", "this is not HTTP/1.1");
  }
  const bool is_head = method == "HEAD";
  if (method != "GET" && !is_head) {
    return Refusal("405 Method Not Allowed", "only GET and HEAD", false, "Allow: GET, HEAD\r\n");
  }
  if (target.substr(0, target.find('?')) != kPath) {
    return Refusal("404 Not Found", "there is /metrics only", is_head);
  }
  return Answer("200 OK", page.content_type, page.write(), is_head);
}

}  // namespace starling::metrics
