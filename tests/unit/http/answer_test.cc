#include "http/answer.h"

#include <gtest/gtest.h>

namespace starling::http {
namespace {

Answer Numbers(const Request& request) {
  if (request.path != "/metrics") {
    return Refusal("404 Not Found", "there is /metrics only");
  }
  return {.content_type = "text/x", .headers = "X-More: yes\r\n", .body = "numbers\n"};
}

TEST(AnswerToTest, AnswersWhatIsAsked) {
  struct Case {
    const char* name;
    std::string request;
    std::string begins;
    std::string ends;
  };
  const Case cases[] = {
      {"a scrape", "GET /metrics HTTP/1.1\r\nHost: a\r\nAccept: text/plain\r\n\r\n",
       "HTTP/1.1 200 OK\r\nContent-Type: text/x\r\nContent-Length: 8\r\nConnection: "
       "close\r\nX-More: yes\r\n",
       "\r\n\r\nnumbers\n"},
      {"of HTTP/1.0, with a query", "GET /metrics?a=b HTTP/1.0\r\n\r\n", "HTTP/1.1 200 OK\r\n",
       "\r\n\r\nnumbers\n"},
      {"the headers alone", "HEAD /metrics HTTP/1.1\r\n\r\n",
       "HTTP/1.1 200 OK\r\nContent-Type: text/x\r\nContent-Length: 8\r\n", "X-More: yes\r\n\r\n"},
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
      {"a carriage return in a header", "GET /metrics HTTP/1.1\r\nHost: a\rHost: b\r\n\r\n",
       "HTTP/1.1 400 Bad Request\r\n", "\n"},
      {"a line feed in a header", "GET /metrics HTTP/1.1\r\nHost: a\nHost: b\r\n\r\n",
       "HTTP/1.1 400 Bad Request\r\n", "\n"},
      {"a line feed in the path", "GET /metrics\n HTTP/1.1\r\n\r\n", "HTTP/1.1 400 Bad Request\r\n",
       "\n"},
      {"two spaces", "GET  /metrics HTTP/1.1\r\n\r\n", "HTTP/1.1 400 Bad Request\r\n", "\n"},
      {"for two hosts", "GET /metrics HTTP/1.1\r\nHost: a\r\nhost: b\r\n\r\n",
       "HTTP/1.1 400 Bad Request\r\n", "\n"},
      {"too long", "GET /metrics HTTP/1.1\r\nX: " + std::string(kMaxRequestBytes, 'x'),
       "HTTP/1.1 431 Request Header Fields Too Large\r\n", "\n"},
  };
  for (const Case& c : cases) {
    SCOPED_TRACE(c.name);
    const auto answer = AnswerTo(c.request, Numbers);
    ASSERT_TRUE(answer.has_value());
    EXPECT_TRUE(answer->starts_with(c.begins)) << *answer;
    EXPECT_TRUE(answer->ends_with(c.ends)) << *answer;
  }
}

TEST(AnswerToTest, WaitsForTheEndOfTheHeaders) {
  const std::string whole = "GET /metrics HTTP/1.1\r\nHost: a\r\n\r\n";
  for (size_t size = 0; size < whole.size(); ++size) {
    EXPECT_EQ(AnswerTo(whole.substr(0, size), Numbers), std::nullopt) << size;
  }
  EXPECT_NE(AnswerTo(whole, Numbers), std::nullopt);
}

TEST(AnswerToTest, TellsWhatIsAskedOfWhom) {
  struct Case {
    const char* name;
    std::string request;
    std::string path;
    std::string host;
  };
  const Case cases[] = {
      {"no header", "GET / HTTP/1.0\r\n\r\n", "/", ""},
      {"one", "GET /a?b=c HTTP/1.1\r\nHost: a:80\r\n\r\n", "/a", "a:80"},
      {"among others", "GET / HTTP/1.1\r\nA: Host: x\r\nHOST:\t [::1]:1 \r\nB: y\r\n\r\n", "/",
       "[::1]:1"},
      {"an empty one", "GET / HTTP/1.1\r\nHost: \r\n\r\n", "/", ""},
      {"in the body, which nobody reads", "GET / HTTP/1.1\r\n\r\nHost: x\r\n", "/", ""},
  };
  for (const Case& c : cases) {
    SCOPED_TRACE(c.name);
    std::optional<Request> told;
    EXPECT_TRUE(AnswerTo(c.request, [&](const Request& request) {
      told = request;
      return Answer();
    }));
    ASSERT_TRUE(told.has_value());
    EXPECT_EQ(told->path, c.path);
    EXPECT_EQ(told->host, c.host);
  }
}

}  // namespace
}  // namespace starling::http
