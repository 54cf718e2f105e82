#include "metrics/http_answer.h"

#include <gtest/gtest.h>

namespace starling::metrics {
namespace {

const Page kPage{.content_type = "text/x", .write = [] { return std::string("numbers\n"); }};

TEST(AnswerToTest, AnswersWhatIsAsked) {
  struct Case {
    const char* name;
    std::string request;
    std::string begins;
    std::string ends;
  };
  const Case cases[] = {
      {"a scrape", "GET /metrics HTTP/1.1\r\nHost: a\r\nAccept: text/plain\r\n\r\n",
       "HTTP/1.1 200 OK\r\nContent-Type: text/x\r\nContent-Length: 8\r\nConnection: close\r\n",
       "\r\n\r\nnumbers\n"},
      {"of HTTP/1.0, with a query", "GET /metrics?a=b HTTP/1.0\r\n\r\n", "HTTP/1.1 200 OK\r\n",
       "\r\n\r\nnumbers\n"},
      {"the headers alone", "HEAD /metrics HTTP/1.1\r\n\r\n",
       "HTTP/1.1 200 OK\r\nContent-Type: text/x\r\nContent-Length: 8\r\n", "close\r\n\r\n"},
      {"another page", "GET / HTTP/1.1\r\n\r\n", "HTTP/1.1 404 Not Found\r\n",
       "\r\n\r\nthere is /metrics only\n"},
      {"a longer path", "GET /metrics/x HTTP/1.1\r\n\r\n", "HTTP/1.1 404 Not Found\r\n", "only\n"},
      {"another method", "POST /metrics HTTP/1.1\r\nContent-Length: 1\r\n\r\nx",
       "HTTP/1.1 405 Method Not Allowed\r\n", "Allow: GET, HEAD\r\n\r\nonly GET and HEAD\n"},
      {"not HTTP", "hello\r\n\r\n", "HTTP/1.1 400 Bad Request\r\n", "HTTP/1.1\n"},
      {"of a proxy", "GET http://a/metrics HTTP/1.1\r\n\r\n", "HTTP/1.1 400 Bad Request\r\n",
       "HTTP/1.1\n"},
      {"HTTP/2 without being asked", "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n",
       "HTTP/1.1 400 Bad Request\r\n", "HTTP/1.1\n"},
      {"two spaces", "GET  /metrics HTTP/1.1\r\n\r\n", "HTTP/1.1 400 Bad Request\r\n", "\n"},
      {"too long", "GET /metrics HTTP/1.1\r\nX: " + std::string(kMaxRequestBytes, 'x'),
       "HTTP/1.1 431 Request Header Fields Too Large\r\n", "\n"},
  };
  for (const Case& c : cases) {
    SCOPED_TRACE(c.name);
    const auto answer = AnswerTo(c.request, kPage);
    ASSERT_TRUE(answer.has_value());
    EXPECT_TRUE(answer->starts_with(c.begins)) << *answer;
    EXPECT_TRUE(answer->ends_with(c.ends)) << *answer;
  }
}

TEST(AnswerToTest, WaitsForTheEndOfTheHeaders) {
  const std::string whole = "GET /metrics HTTP/1.1\r\nHost: a\r\n\r\n";
  for (size_t size = 0; size < whole.size(); ++size) {
    EXPECT_EQ(AnswerTo(whole.substr(0, size), kPage), std::nullopt) << size;
  }
  EXPECT_NE(AnswerTo(whole, kPage), std::nullopt);
}

}  // namespace
}  // namespace starling::metrics
