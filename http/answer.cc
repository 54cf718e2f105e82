#include "http/answer.h"

#include <fmt/format.h>

#include <algorithm>

#include "base/text.h"

namespace starling::http {
namespace {

/// Whether each carriage return and each line feed belongs to a line end: others are read as line
/// ends by some, and not by others.
bool HasWholeLineEnds(std::string_view head) {
  size_t at = head.find_first_of("\r\n");
  while (at != std::string_view::npos && head.substr(at).starts_with("\r\n")) {
    at = head.find_first_of("\r\n", at + 2);
  }
  return at == std::string_view::npos;
}

std::string ToText(const Answer& answer, bool is_head = false) {
  return fmt::format(
      "HTTP/1.1 {}\r\nContent-Type: {}\r\nContent-Length: {}\r\nConnection: close\r\n{}\r\n{}",
      answer.status, answer.content_type, answer.body.size(), answer.headers,
      is_head ? std::string_view() : answer.body);
}

/// Up to the next space; takes both off.
std::string_view TakeWord(std::string_view& line) {
  const size_t space = line.find(' ');
  const std::string_view word = line.substr(0, space);
  line.remove_prefix(space == std::string_view::npos ? line.size() : space + 1);
  return word;
}

/// Of the headers, each with its line end. Nothing when there are several of them.
std::optional<std::string_view> HostOf(std::string_view headers) {
  std::optional<std::string_view> host;
  while (!headers.empty()) {
    const std::string_view line = headers.substr(0, headers.find("\r\n"));
    headers.remove_prefix(std::min(headers.size(), line.size() + 2));
    const size_t colon = line.find(':');
    if (colon == std::string_view::npos || LowerCase(line.substr(0, colon)) != "host") {
      continue;
    }
    if (host) {
      return std::nullopt;
    }
    host = TrimSpace(line.substr(colon + 1));
  }
  return host.value_or("");
}

}  // namespace

Answer Refusal(std::string_view status, std::string_view why) {
  return {.status = std::string(status), .body = fmt::format("{}\n", why)};
}

std::optional<std::string> AnswerTo(std::string_view request, const Handler& handler) {
  const size_t end = request.substr(0, kMaxRequestBytes).find("\r\n\r\n");
  if (end == std::string_view::npos) {
    return request.size() < kMaxRequestBytes
               ? std::nullopt
               : std::optional(ToText(
                     Refusal("431 Request Header Fields Too Large", "the request is too long")));
  }
  const size_t line_end = request.find("\r\n");
  std::string_view line = request.substr(0, line_end);
  const std::string_view method = TakeWord(line);
  const std::string_view target = TakeWord(line);
  const auto host = HostOf(request.substr(line_end + 2, end - line_end));
  if (method.empty() || !target.starts_with('/') || !line.starts_with("HTTP/1.") || !host ||
      !HasWholeLineEnds(request.substr(0, end))) {
    return ToText(Refusal("400 Bad Request", "this is not HTTP/1.1"));
  }
  const bool is_head = method == "HEAD";
  if (method != "GET" && !is_head) {
    Answer refusal = Refusal("405 Method Not Allowed", "only GET and HEAD");
    refusal.headers = "Allow: GET, HEAD\r\n";
    return ToText(refusal);
  }
  return ToText(handler({.path = std::string(target.substr(0, target.find('?'))),
                         .host = std::string(*host)}),
                is_head);
}

}  // namespace starling::http
