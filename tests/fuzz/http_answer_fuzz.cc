// Property: a request is waited for or answered once, with a well-formed answer; more bytes behind
// a request change nothing; the handler hears of paths only, and at most once.
#include <cstdint>
#include <cstdlib>
#include <string>

#include "http/answer.h"

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  using starling::http::AnswerTo;
  using starling::http::kMaxRequestBytes;
  const std::string request(reinterpret_cast<const char*>(data), size);
  int heard = 0;
  const starling::http::Handler handler = [&heard](const starling::http::Request& asked) {
    ++heard;
    if (!asked.path.starts_with('/') || asked.path.find_first_of("? \r\n") != std::string::npos ||
        asked.host.find_first_of("\r\n") != std::string::npos) {
      std::abort();
    }
    return asked.path == "/page"
               ? starling::http::Answer{.headers = {}, .body = "page"}
               : starling::http::Refusal("404 Not Found", "there is no such page");
  };
  const auto answer = AnswerTo(request, handler);
  if (!answer) {
    if (size >= kMaxRequestBytes || heard != 0) {
      std::abort();
    }
    return 0;
  }
  if (!answer->starts_with("HTTP/1.1 ") || answer->find("\r\n\r\n") == std::string::npos ||
      heard > 1 || (heard == 0 && answer->starts_with("HTTP/1.1 200 "))) {
    std::abort();
  }
  if (AnswerTo(request + "more", handler) != answer) {
    std::abort();
  }
  return 0;
}
