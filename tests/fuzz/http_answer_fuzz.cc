// Property: a request is waited for or answered once, with a well-formed answer; more bytes behind
// a request change nothing; the page is written for 200 only.
#include <cstdint>
#include <cstdlib>
#include <string>

#include "metrics/http_answer.h"

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  using starling::metrics::AnswerTo;
  using starling::metrics::kMaxRequestBytes;
  const std::string request(reinterpret_cast<const char*>(data), size);
  int written = 0;
  const starling::metrics::Page page{.content_type = "text/plain", .write = [&written] {
                                       ++written;
                                       return std::string("page");
                                     }};
  const auto answer = AnswerTo(request, page);
  if (!answer) {
    if (size >= kMaxRequestBytes || written != 0) {
      std::abort();
    }
    return 0;
  }
  const bool is_good = answer->starts_with("HTTP/1.1 200 OK\r\n");
  if (!answer->starts_with("HTTP/1.1 ") || answer->find("\r\n\r\n") == std::string::npos ||
      written != (is_good ? 1 : 0)) {
    std::abort();
  }
  if (AnswerTo(request + "more", page) != answer) {
    std::abort();
  }
  return 0;
}
