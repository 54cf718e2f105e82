#include "page/page.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <nlohmann/json.hpp>
#include <regex>

#include "page/assets.h"
#include "tests/support/fake_status.h"
#include "tests/support/manual_clock.h"

namespace starling::page {
namespace {

using nlohmann::json;
using testing::HasSubstr;
using testing::Not;
using testing_support::SomeLayer;
using testing_support::SomeRead;
using testing_support::SomeStart;

class PageTest : public testing::Test {
 protected:
  http::Answer Get(std::string path, std::string host = "localhost:9101") {
    return handler_({.path = std::move(path), .host = std::move(host)});
  }

  testing_support::FakeStatus status_;
  testing_support::ManualClock clock_;
  http::Handler handler_ = HandlerOf(status_, clock_, "starling 1.2");
};

TEST_F(PageTest, AnswersForThisMachineAlone) {
  for (const char* host : {"localhost", "localhost:80", "127.0.0.1", "127.0.0.1:9101",
                           "127.1.2.3:1", "[::1]", "[::1]:9101"}) {
    EXPECT_EQ(Get("/", host).status, "200 OK") << host;
  }
  for (const char* host :
       {"", "evil.example", "evil.example:9101", "127.0.0.1.evil.example", "localhost.evil.example",
        "127.1", "10.0.0.1", "0.0.0.0:9101", "[::]:9101", "[::1].evil.example", "localhost:80:80",
        "user@localhost"}) {
    for (const char* path : {"/", "/page.js", "/status.json", "/starts.json"}) {
      const http::Answer answer = Get(path, host);
      EXPECT_EQ(answer.status, "403 Forbidden") << host << path;
      EXPECT_THAT(answer.body, Not(HasSubstr("{"))) << host << path;
    }
  }
}

TEST_F(PageTest, TellsBrowsersToLoadRunAndSendNothingElse) {
  for (const char* path : {"/", "/page.css", "/page.js", "/status.json", "/none"}) {
    const std::string headers = Get(path).headers;
    for (const char* line :
         {"Content-Security-Policy: default-src 'none'; script-src 'self'; style-src 'self'; "
          "connect-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'\r\n",
          "X-Content-Type-Options: nosniff\r\n", "X-Frame-Options: DENY\r\n",
          "Referrer-Policy: no-referrer\r\n", "Cross-Origin-Resource-Policy: same-origin\r\n"}) {
      EXPECT_THAT(headers, HasSubstr(line)) << path;
    }
  }
}

TEST_F(PageTest, HasWhatItNeedsAndNothingOfOthers) {
  EXPECT_EQ(Get("/").content_type, "text/html; charset=utf-8");
  EXPECT_EQ(Get("/").body, kIndexHtml);
  EXPECT_EQ(Get("/page.css").content_type, "text/css; charset=utf-8");
  EXPECT_EQ(Get("/page.js").content_type, "text/javascript; charset=utf-8");
  for (const std::string_view asset : {kIndexHtml, kPageCss, kPageJs}) {
    const std::string text(asset);
    EXPECT_GT(text.size(), 500U);
    EXPECT_FALSE(std::regex_search(text, std::regex(R"((src|href)="?(https?:)?//)"))) << text;
    EXPECT_THAT(text, Not(HasSubstr("@import")));
    EXPECT_THAT(text, Not(HasSubstr("url(")));
  }
  // Its policy forbids them, and names of files must never become markup.
  const std::string html(kIndexHtml);
  EXPECT_FALSE(std::regex_search(html, std::regex(R"( (style|on[a-z]+)=)")));
  for (const char* word :
       {"innerHTML", "outerHTML", "insertAdjacentHTML", "document.write", "eval("}) {
    EXPECT_THAT(std::string(kPageJs), Not(HasSubstr(word)));
  }
  EXPECT_EQ(Get("/favicon.ico").status, "404 Not Found");
  EXPECT_EQ(Get("/../etc/passwd").status, "404 Not Found");
}

TEST_F(PageTest, TellsWhatTheCommandsTell) {
  status_.layers = {SomeLayer(1, {"a:1"})};
  status_.traced = {.reads = {SomeRead("/x", 2)}, .forgotten = 3};
  status_.starts = {SomeStart("a:1")};
  const http::Answer answer = Get("/status.json");
  EXPECT_EQ(answer.content_type, "application/json");
  const json told = json::parse(answer.body);
  EXPECT_EQ(told["version"], "starling 1.2");
  EXPECT_EQ(told["time"], "2026-01-01T00:00:00.000Z");
  EXPECT_EQ(told["images"][0]["name"], "a:1");
  EXPECT_EQ(told["images"][0]["heldSize"], 200);
  EXPECT_EQ(json::parse(Get("/trace.json").body)["forgotten"], 3);
  EXPECT_EQ(json::parse(Get("/starts.json").body)["starts"][0]["image"], "a:1");
}

TEST_F(PageTest, TakesAnyNameOfAFile) {
  const std::string name = "/</script><script>alert(1)</script>\xff\"\n";
  status_.traced.reads = {SomeRead(name, 2)};
  status_.starts = {SomeStart(name)};
  const json traced = json::parse(Get("/trace.json").body);
  EXPECT_EQ(traced["reads"][0]["file"], "/</script><script>alert(1)</script>\xef\xbf\xbd\"\n");
  EXPECT_TRUE(json::accept(Get("/starts.json").body));
}

TEST_F(PageTest, TellsTheSameForAMoment) {
  EXPECT_EQ(json::parse(Get("/status.json").body)["images"].size(), 0U);
  status_.layers = {SomeLayer(1, {"a:1"})};
  clock_.Advance(std::chrono::milliseconds(499));
  EXPECT_EQ(json::parse(Get("/status.json").body)["images"].size(), 0U);
  clock_.Advance(std::chrono::milliseconds(1));
  EXPECT_EQ(json::parse(Get("/status.json").body)["images"].size(), 1U);
}

TEST_F(PageTest, SaysWhenNothingIsKnown) {
  status_.error = MakeError(StatusCode::kInternal, "the disk is broken");
  for (const char* path : {"/status.json", "/trace.json", "/starts.json"}) {
    EXPECT_EQ(Get(path).status, "503 Service Unavailable") << path;
    EXPECT_THAT(Get(path).body, HasSubstr("the disk is broken")) << path;
  }
  status_.error = OkStatus();
  EXPECT_EQ(Get("/status.json").status, "200 OK");
}

}  // namespace
}  // namespace starling::page
