#include "registry/curl_transport.h"

#include <gtest/gtest.h>

#include <future>

#include "tests/support/test_server.h"

namespace starling::registry {
namespace {

using testing_support::ServedRequest;
using testing_support::ServedResponse;
using testing_support::TestServer;

std::future<StatusOr<HttpResponse>> Start(HttpTransport& transport, HttpRequest request) {
  const auto promise = std::make_shared<std::promise<StatusOr<HttpResponse>>>();
  auto result = promise->get_future();
  transport.Send(std::move(request), [promise](StatusOr<HttpResponse> response) {
    promise->set_value(std::move(response));
  });
  return result;
}

StatusOr<HttpResponse> Fetch(HttpTransport& transport, HttpRequest request) {
  return Start(transport, std::move(request)).get();
}

TEST(CurlTransport, ReturnsAnyStatusAndKeepsTheConnection) {
  TestServer server([](const ServedRequest& request) {
    return ServedResponse{.status = request.target == "/missing" ? 404 : 200,
                          .headers = {{"X-Name", " value "}},
                          .body = "body of " + request.target};
  });
  CurlTransport transport;
  for (const char* path : {"/a", "/missing", "/b"}) {
    const auto response = Fetch(transport, {.url = server.url() + path});
    ASSERT_TRUE(response.ok()) << response.status();
    EXPECT_EQ(response->status, std::string_view(path) == "/missing" ? 404 : 200);
    EXPECT_EQ(response->HeaderValue("x-name"), "value");
    EXPECT_EQ(AsText(response->body), std::string("body of ") + path);
  }
  EXPECT_EQ(server.connections(), 1);
  const auto requests = server.requests();
  EXPECT_EQ(requests[0].Header("user-agent"), "starling/0.1");
  EXPECT_EQ(requests[0].Header("accept-encoding"), "");
  EXPECT_EQ(requests[0].Header("cookie"), "");
}

TEST(CurlTransport, CountsWhatCame) {
  TestServer server([](const ServedRequest& request) {
    ServedResponse response{.status = 200, .body = "0123456789"};
    if (request.target == "/broken") {
      response.cut_after_bytes = 4;
    } else if (request.target.starts_with("/status/")) {
      response.status = std::stoi(request.target.substr(8));
    }
    return response;
  });
  CurlTransport transport;
  for (const char* path : {"/ok", "/status/307", "/status/404", "/status/503", "/broken"}) {
    (void)Fetch(transport, {.url = server.url() + path});
  }
  size_t streamed = 0;
  ASSERT_TRUE(Fetch(transport, {.url = server.url() + "/streamed",
                                .on_body =
                                    [&streamed](ByteSpan bytes) {
                                      streamed += bytes.size();
                                      return OkStatus();
                                    },
                                .is_retry = true})
                  .ok());
  const TransferCounters& counters = transport.counters();
  EXPECT_EQ(streamed, 10U);
  EXPECT_EQ(counters.succeeded, 2U);
  EXPECT_EQ(counters.redirected, 1U);
  EXPECT_EQ(counters.refused, 1U);
  EXPECT_EQ(counters.server_errors, 1U);
  EXPECT_EQ(counters.failed, 1U);
  EXPECT_EQ(counters.dropped, 0U);
  EXPECT_EQ(counters.retries, 1U);
  EXPECT_EQ(counters.received_bytes, 54U);
}

TEST(CurlTransport, BoundsConnectionsOfAHost) {
  TestServer server([](const ServedRequest&) { return ServedResponse{.body = "x"}; });
  CurlTransport transport({.max_requests_per_host = 3});
  std::vector<std::future<StatusOr<HttpResponse>>> results;
  for (int i = 0; i < 100; ++i) {
    results.push_back(Start(transport, {.url = server.url() + "/"}));
  }
  for (auto& result : results) {
    EXPECT_TRUE(result.get().ok());
  }
  EXPECT_LE(server.connections(), 3);
  EXPECT_EQ(server.requests().size(), 100u);
}

TEST(CurlTransport, DoesNotFollowRedirects) {
  TestServer server([](const ServedRequest&) {
    return ServedResponse{.status = 307, .headers = {{"Location", "/elsewhere"}}};
  });
  CurlTransport transport;
  const auto response = Fetch(transport, {.url = server.url() + "/"});
  ASSERT_TRUE(response.ok());
  EXPECT_EQ(response->status, 307);
  EXPECT_EQ(server.requests().size(), 1u);
}

TEST(CurlTransport, SendsBodiesFromMemoryAndFromPipes) {
  TestServer server([](const ServedRequest& request) {
    return ServedResponse{.status = 201, .body = std::to_string(request.body.size())};
  });
  CurlTransport transport;
  const auto small = Fetch(transport, {.method = "PUT", .url = server.url(), .body = Bytes(1000)});
  ASSERT_TRUE(small.ok());
  EXPECT_EQ(AsText(small->body), "1000");
  const auto empty = Fetch(transport, {.method = "POST", .url = server.url()});
  ASSERT_TRUE(empty.ok());
  EXPECT_EQ(AsText(empty->body), "0");
  EXPECT_EQ(server.requests()[1].Header("content-length"), "0");

  const auto pipe = std::make_shared<BodyPipe>(64 << 10);
  constexpr size_t kTotal = 3 << 20;
  auto result = Start(
      transport, {.method = "PUT", .url = server.url(), .upload = pipe, .upload_bytes = kTotal});
  for (size_t sent = 0; sent < kTotal; sent += 32 << 10) {
    ASSERT_TRUE(pipe->Write(Bytes(32 << 10)).ok());
  }
  pipe->CloseWrite();
  const auto streamed = result.get();
  ASSERT_TRUE(streamed.ok()) << streamed.status();
  EXPECT_EQ(AsText(streamed->body), std::to_string(kTotal));
}

TEST(CurlTransport, StreamsToAPipeThatIsSlowerThanTheNetwork) {
  const std::string content(5 << 20, 'x');
  TestServer server([&](const ServedRequest&) { return ServedResponse{.body = content}; });
  CurlTransport transport;
  const auto pipe = std::make_shared<BodyPipe>(64 << 10);
  const auto promise = std::make_shared<std::promise<Status>>();
  auto result = promise->get_future();
  transport.Send({.url = server.url(), .download = pipe}, [=](StatusOr<HttpResponse> response) {
    pipe->CloseWrite(response.status());
    promise->set_value(response.status());
  });
  // The network thread is free although nobody reads the pipe.
  EXPECT_TRUE(Fetch(transport, {.url = server.url(), .max_body_bytes = 6 << 20}).ok());
  const auto got = ReadAll(*pipe, 6 << 20);
  ASSERT_TRUE(got.ok());
  EXPECT_EQ(AsText(*got), content);
  EXPECT_TRUE(result.get().ok());
}

TEST(CurlTransport, StopsWhenTheReaderGoes) {
  TestServer server(
      [](const ServedRequest&) { return ServedResponse{.body = std::string(5 << 20, 'x')}; });
  CurlTransport transport;
  const auto pipe = std::make_shared<BodyPipe>(64 << 10);
  auto result = Start(transport, {.url = server.url(), .download = pipe});
  Bytes some(1000);
  ASSERT_TRUE(pipe->Read(some).ok());
  pipe->CloseRead(MakeError(StatusCode::kCancelled, "enough"));
  EXPECT_EQ(result.get().status().code(), StatusCode::kCancelled);
}

TEST(CurlTransport, ClassifiesFailures) {
  TestServer server([](const ServedRequest& request) {
    if (request.target == "/reset") return ServedResponse{.reset = true};
    if (request.target == "/silent") return ServedResponse{.silent = true};
    if (request.target == "/short") return ServedResponse{.body = "12345678", .cut_after_bytes = 3};
    if (request.target == "/drip") {
      return ServedResponse{.body = std::string(1000, 'x'),
                            .pause_per_byte = std::chrono::milliseconds(20)};
    }
    if (request.target == "/headers") {
      ServedResponse many;
      for (int i = 0; i < 500; ++i) many.headers.emplace_back("X-Header", "v");
      return many;
    }
    return ServedResponse{.body = std::string(5000, 'x')};
  });
  CurlTransport transport;
  const struct {
    const char* name;
    std::string url;
    StatusCode want;
  } cases[] = {
      {"reset", server.url() + "/reset", StatusCode::kUnavailable},
      {"truncated", server.url() + "/short", StatusCode::kUnavailable},
      {"no answer", server.url() + "/silent", StatusCode::kDeadlineExceeded},
      {"a byte now and then", server.url() + "/drip", StatusCode::kDeadlineExceeded},
      {"headers without end", server.url() + "/headers", StatusCode::kResourceExhausted},
      {"body without end", server.url() + "/large", StatusCode::kResourceExhausted},
      {"refused", "http://127.0.0.1:1/", StatusCode::kUnavailable},
      {"other protocol", "file:///etc/passwd", StatusCode::kInvalidArgument},
      {"TLS to a plain server", "https://" + server.address() + "/", StatusCode::kUnavailable},
  };
  for (const auto& c : cases) {
    SCOPED_TRACE(c.name);
    const auto response = Fetch(transport, {.url = c.url,
                                            .max_body_bytes = 1000,
                                            .timeout = c.want == StatusCode::kDeadlineExceeded
                                                           ? std::chrono::milliseconds(300)
                                                           : std::chrono::milliseconds(60000)});
    EXPECT_EQ(response.status().code(), c.want) << response.status();
  }
}

TEST(CurlTransport, GivesUpWhatOnlyDripsOrIsDead) {
  TestServer server([](const ServedRequest& request) {
    if (request.target == "/silent") return ServedResponse{.silent = true};
    return ServedResponse{.body = std::string(100'000, 'x'),
                          .pause_per_byte = std::chrono::milliseconds(20)};
  });
  CurlTransport transport({.stall_timeout = std::chrono::seconds(1)});
  for (const char* path : {"/silent", "/drip"}) {
    const auto response =
        Fetch(transport, {.url = server.url() + path, .timeout = std::chrono::hours(1)});
    EXPECT_EQ(response.status().code(), StatusCode::kUnavailable) << path << response.status();
  }
}

TEST(CurlTransport, ConnectsOnlyWhereARequestMayReach) {
  TestServer server([](const ServedRequest&) { return ServedResponse{}; });
  CurlTransport transport;
  const std::string port = server.address().substr(server.address().find(':'));
  const struct {
    Reach reach;
    std::string host;
    bool want;
  } cases[] = {
      {Reach::kOrdinary, "localhost", false}, {Reach::kOrdinary, "127.0.0.1", false},
      {Reach::kNotLocal, "localhost", true},  {Reach::kNotLocal, "0.0.0.0", false},
      {Reach::kAnywhere, "0.0.0.0", true},
  };
  int connections = 0;
  for (const auto& c : cases) {
    SCOPED_TRACE(c.host);
    const auto response =
        Fetch(transport, {.url = "http://" + c.host + port + "/x?signature=hidden",
                          .own_connection = true,
                          .reach = c.reach});
    EXPECT_EQ(response.ok(), c.want) << response.status();
    if (!c.want) {
      EXPECT_EQ(response.status().code(), StatusCode::kFailedPrecondition);
      EXPECT_EQ(Describe(response.status()).find("hidden"), std::string::npos);
    }
    connections += c.want ? 1 : 0;
    EXPECT_EQ(server.connections(), connections);
  }
}

TEST(CurlTransport, NeverUnpacksWhatAServerEncodes) {
  // "hello"
  const std::string packed(
      "\x1f\x8b\x08\x00\x00\x00\x00\x00\x00\x03\xcb\x48\xcd\xc9\xc9\x07\x00\x86\xa6\x10\x36\x05"
      "\x00\x00\x00",
      25);
  TestServer server([&packed](const ServedRequest& request) {
    EXPECT_EQ(request.Header("accept-encoding"), "");
    return ServedResponse{.headers = {{"Content-Encoding", "gzip"}}, .body = packed};
  });
  CurlTransport transport;
  const auto response = Fetch(transport, {
                                             .url = server.url(),
                                         });
  ASSERT_TRUE(response.ok()) << response.status();
  EXPECT_EQ(AsText(response->body), packed);
}

TEST(CurlTransport, EndsASlowStreamAtItsDeadline) {
  TestServer server([](const ServedRequest&) {
    return ServedResponse{.body = std::string(1000, 'x'),
                          .pause_per_byte = std::chrono::milliseconds(20)};
  });
  CurlTransport transport;
  const auto pipe = std::make_shared<BodyPipe>(64 << 10);
  auto result =
      Start(transport,
            {.url = server.url(), .download = pipe, .timeout = std::chrono::milliseconds(300)});
  EXPECT_EQ(result.get().status().code(), StatusCode::kDeadlineExceeded);
  EXPECT_EQ(server.requests().size(), 1u);
}

TEST(CurlTransport, NeverShowsQueriesInErrors) {
  CurlTransport transport;
  const auto response = Fetch(transport, {.url = "http://127.0.0.1:1/blob?signature=hidden"});
  ASSERT_FALSE(response.ok());
  EXPECT_EQ(Describe(response.status()).find("hidden"), std::string::npos);
}

TEST(CurlTransport, LetsHeadersEndTheExchange) {
  TestServer server([](const ServedRequest&) {
    return ServedResponse{.status = 206, .body = std::string(100, 'x')};
  });
  CurlTransport transport;
  int calls = 0;
  const auto response = Fetch(transport, {.url = server.url(), .on_headers = [&](const auto& got) {
                                            ++calls;
                                            EXPECT_EQ(got.status, 206);
                                            return MakeError(StatusCode::kDataLoss, "not that");
                                          }});
  EXPECT_EQ(response.status().code(), StatusCode::kDataLoss);
  EXPECT_EQ(calls, 1);
}

TEST(CurlTransport, CancelsEverythingWhenItGoes) {
  TestServer server([](const ServedRequest&) { return ServedResponse{.silent = true}; });
  std::vector<std::future<StatusOr<HttpResponse>>> results;
  std::promise<void> timer;
  {
    CurlTransport transport({.max_requests_per_host = 2, .max_active_requests = 4});
    for (int i = 0; i < 10; ++i) {
      results.push_back(Start(transport, {.url = server.url()}));
    }
    transport.RunAfter(std::chrono::hours(1), [&] { timer.set_value(); });
  }
  for (auto& result : results) {
    EXPECT_EQ(result.get().status().code(), StatusCode::kCancelled);
  }
  timer.get_future().get();
}

TEST(CurlTransport, StopsWhatIsUnderWayAndWhatComes) {
  std::promise<void> asked;
  TestServer server([&](const ServedRequest&) {
    asked.set_value();
    return ServedResponse{.silent = true};
  });
  CurlTransport transport;
  auto under_way = Start(transport, {.url = server.url(), .timeout = std::chrono::hours(1)});
  std::promise<void> timer;
  transport.RunAfter(std::chrono::hours(1), [&] { timer.set_value(); });
  asked.get_future().wait();
  transport.Stop();
  EXPECT_EQ(under_way.get().status().code(), StatusCode::kCancelled);
  timer.get_future().wait();
  for (int i = 0; i < 2; ++i) {
    EXPECT_EQ(Fetch(transport, {.url = server.url()}).status().code(), StatusCode::kCancelled);
  }
  EXPECT_EQ(server.requests().size(), 1u);
}

TEST(CurlTransport, EndsAnExchangeThatNobodyWantsAnyMore) {
  std::promise<void> asked;
  TestServer server([&](const ServedRequest& request) {
    if (request.target == "/last") {
      return ServedResponse{.body = "x"};
    }
    asked.set_value();
    return ServedResponse{.silent = true};
  });
  CurlTransport transport({.max_requests_per_host = 1});
  std::stop_source stop_active;
  std::stop_source stop_waiting;
  std::stop_source stopped;
  stopped.request_stop();
  const auto start = [&](const char* path, const std::stop_source& stop) {
    return Start(
        transport,
        {.url = server.url() + path, .timeout = std::chrono::hours(1), .stop = stop.get_token()});
  };
  auto active = start("/active", stop_active);
  asked.get_future().wait();
  auto waiting = start("/waiting", stop_waiting);
  auto late = start("/late", stopped);
  auto last = start("/last", std::stop_source());
  EXPECT_EQ(late.get().status().code(), StatusCode::kCancelled);
  stop_waiting.request_stop();
  EXPECT_EQ(waiting.get().status().code(), StatusCode::kCancelled);
  stop_active.request_stop();
  EXPECT_EQ(active.get().status().code(), StatusCode::kCancelled);
  EXPECT_TRUE(last.get().ok()) << "its place is free again";
  EXPECT_EQ(server.requests().size(), 2u);
  stop_active.request_stop();
}

TEST(CurlTransport, OpensAConnectionOfItsOwnWhereAsked) {
  TestServer server([](const ServedRequest&) { return ServedResponse{.body = "x"}; });
  CurlTransport transport;
  EXPECT_TRUE(Fetch(transport, {.url = server.url()}).ok());
  EXPECT_TRUE(Fetch(transport, {.url = server.url()}).ok());
  EXPECT_EQ(server.connections(), 1);
  EXPECT_TRUE(Fetch(transport, {.url = server.url(), .own_connection = true}).ok());
  EXPECT_EQ(server.connections(), 2);
}

TEST(CurlTransport, RunsTimersInOrder) {
  CurlTransport transport;
  std::vector<int> order;
  std::promise<void> last;
  transport.RunAfter(std::chrono::milliseconds(20), [&] {
    order.push_back(2);
    last.set_value();
  });
  transport.RunAfter(std::chrono::milliseconds(1), [&] { order.push_back(1); });
  last.get_future().get();
  EXPECT_EQ(order, (std::vector<int>{1, 2}));
}

}  // namespace
}  // namespace starling::registry
