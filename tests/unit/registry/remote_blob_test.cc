#include "registry/remote_blob.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <array>
#include <future>
#include <stop_token>
#include <vector>

#include "tests/unit/registry/harness.h"

namespace starling::registry {
namespace {

using testing::HasSubstr;

TEST(RemoteBlob, OpensWithOneSuffixRange) {
  Harness harness(ServeRange);
  const auto opened = harness.Source("a.example/b")->OpenBlob(UnknownSize(kContent), 10);
  ASSERT_TRUE(opened.ok()) << opened.status();
  EXPECT_EQ(AsText(opened->tail), "qrstuvwxyz");
  EXPECT_EQ(opened->reader->SizeBytes(), kContent.size());
  ASSERT_EQ(harness.transport.requests().size(), 1u);
  EXPECT_EQ(FakeTransport::HeaderOf(harness.transport.requests()[0], "Range"), "bytes=-10");
  const auto all = harness.Source("a.example/b")->OpenBlob(UnknownSize(kContent), 1000);
  ASSERT_TRUE(all.ok()) << all.status();
  EXPECT_EQ(AsText(all->tail), kContent);
}

TEST(RemoteBlob, OpensAKnownSizeWithOneRange) {
  Harness harness(ServeRange);
  const auto opened = harness.Source("a.example/b")->OpenBlob(BlobOf(kContent), 10);
  ASSERT_TRUE(opened.ok()) << opened.status();
  EXPECT_EQ(AsText(opened->tail), "qrstuvwxyz");
  ASSERT_EQ(harness.transport.requests().size(), 1u);
  EXPECT_EQ(FakeTransport::HeaderOf(harness.transport.requests()[0], "Range"), "bytes=26-35");
}

TEST(RemoteBlob, AsksForTheSizeWhereSuffixRangesAreRefused) {
  for (const int refusal : {200, 400, 416}) {
    SCOPED_TRACE(refusal);
    Harness harness([&](const HttpRequest& request) {
      if (request.method == "HEAD") {
        return Answer(200, "", {{"Content-Length", std::to_string(kContent.size())}});
      }
      if (FakeTransport::HeaderOf(request, "Range").starts_with("bytes=-")) {
        return refusal == 200 ? Answer(200, "", {{"Content-Length", "9000000000"}})
                              : Answer(refusal);
      }
      return ServeRange(request);
    });
    const auto opened = harness.Source("a.example/b")->OpenBlob(UnknownSize(kContent), 10);
    ASSERT_TRUE(opened.ok()) << opened.status();
    EXPECT_EQ(AsText(opened->tail), "qrstuvwxyz");
    EXPECT_EQ(harness.transport.requests().size(), 3u);
  }
}

TEST(RemoteBlob, TakesAWholeSmallBlobFromAServerWithoutRanges) {
  Harness harness([](const HttpRequest&) {
    return Answer(200, kContent, {{"Content-Length", std::to_string(kContent.size())}});
  });
  const auto opened = harness.Source("a.example/b")->OpenBlob(UnknownSize(kContent), 10);
  ASSERT_TRUE(opened.ok()) << opened.status();
  EXPECT_EQ(AsText(opened->tail), "qrstuvwxyz");
  const auto bytes = opened->reader->ReadAndWait({.blob_offset = 3, .size_bytes = 4});
  ASSERT_TRUE(bytes.ok()) << bytes.status();
  EXPECT_EQ(AsText(*bytes), "3456");
}

TEST(RemoteBlob, RefusesALargeBlobFromAServerWithoutRanges) {
  Harness harness([](const HttpRequest&) { return Answer(200, kContent); });
  oci::Descriptor blob = BlobOf(kContent);
  blob.size_bytes = 100 << 20;
  const Status status = harness.Source("a.example/b")->OpenBlob(blob, 10).status();
  EXPECT_EQ(status.code(), StatusCode::kFailedPrecondition);
  EXPECT_THAT(Describe(status), HasSubstr("ignores Range"));
}

TEST(RemoteBlob, ChecksEveryPartOfContentRange) {
  const char* const wrong[] = {"bytes 5-8/36", "bytes 4-9/36", "bytes 4-8/37",
                               "items 4-8/36", "bytes 4-7/36", "",
                               "bytes */36",   "bytes 4-8/3",  "bytes 4-8/999999999999999999999"};
  for (const char* header : wrong) {
    SCOPED_TRACE(header);
    Harness harness([&](const HttpRequest&) {
      return Answer(206, kContent.substr(4, 5), {{"Content-Range", header}});
    });
    const auto blob = harness.Source("a.example/b")->BlobAt(BlobOf(kContent));
    const auto bytes = (*blob)->ReadAndWait({.blob_offset = 4, .size_bytes = 5});
    // "bytes 4-8/36" alone would be right.
    EXPECT_EQ(bytes.status().code(), StatusCode::kDataLoss);
    EXPECT_EQ(harness.transport.requests().size(), 1u);
  }
}

TEST(RemoteBlob, ReadsExactlyOrFails) {
  Harness harness(ServeRange);
  const auto blob = harness.Source("a.example/b")->BlobAt(BlobOf(kContent));
  ASSERT_TRUE(blob.ok());
  EXPECT_EQ(harness.transport.requests().size(), 0u) << "opening asks nobody";
  EXPECT_EQ(AsText(*(*blob)->ReadAndWait({.blob_offset = 35, .size_bytes = 1})), "z");
  EXPECT_EQ((*blob)->ReadAndWait({.blob_offset = 36, .size_bytes = 0})->size(), 0u);
  EXPECT_EQ((*blob)->ReadAndWait({.blob_offset = 36, .size_bytes = 1}).status().code(),
            StatusCode::kOutOfRange);
  EXPECT_EQ((*blob)->ReadAndWait({.blob_offset = 1, .size_bytes = ~uint64_t{0}}).status().code(),
            StatusCode::kOutOfRange);
  EXPECT_EQ(harness.transport.requests().size(), 1u);
}

TEST(RemoteBlob, StreamsEachByteOnceOverABrokenAnswer) {
  for (const size_t cut : {0, 3, 9}) {
    SCOPED_TRACE(cut);
    std::atomic<int> answers = 0;
    Harness harness([&](const HttpRequest& request) {
      auto answer = ServeRange(request);
      if (answers++ == 0) {
        answer.body.resize(cut);
      }
      return answer;
    });
    const auto blob = harness.Source("a.example/b")->BlobAt(BlobOf(kContent));
    ASSERT_TRUE(blob.ok());
    std::string got;
    std::promise<Status> done;
    (*blob)->Stream(
        {.blob_offset = 4, .size_bytes = 10}, {}, [&got](ByteSpan part) { got += AsText(part); },
        [&done](const Status& status) { done.set_value(status); });
    EXPECT_TRUE(done.get_future().get().ok());
    EXPECT_EQ(got, kContent.substr(4, 10));
    EXPECT_EQ(answers, 2);
  }
}

/// Answers with a part of the body, then breaks, as a reset in the middle does.
Status BreakAfter(const HttpRequest& request, size_t size_bytes) {
  const auto answer = ServeRange(request);
  RETURN_IF_ERROR(request.on_headers(answer));
  RETURN_IF_ERROR(request.on_body(ByteSpan(answer.body).first(size_bytes)));
  return MakeError(StatusCode::kUnavailable, "connection reset");
}

TEST(RemoteBlob, AsksForTheRestOfWhatBrokeOff) {
  std::atomic<int> answers = 0;
  Harness harness([&](const HttpRequest& request) -> StatusOr<HttpResponse> {
    switch (answers++) {
      case 0:
        return BreakAfter(request, 3);
      case 1:
        return MakeError(StatusCode::kUnavailable, "connection refused");
      case 2:
        return BreakAfter(request, 4);
      default:
        return ServeRange(request);
    }
  });
  const auto blob = harness.Source("a.example/b")->BlobAt(BlobOf(kContent));
  const auto bytes = (*blob)->ReadAndWait({.blob_offset = 10, .size_bytes = 20});
  ASSERT_TRUE(bytes.ok()) << bytes.status();
  EXPECT_EQ(AsText(*bytes), kContent.substr(10, 20));
  std::vector<std::string> ranges;
  for (const HttpRequest& request : harness.transport.requests()) {
    ranges.push_back(FakeTransport::HeaderOf(request, "Range"));
  }
  EXPECT_THAT(ranges,
              testing::ElementsAre("bytes=10-29", "bytes=13-29", "bytes=13-29", "bytes=17-29"));
}

TEST(RemoteBlob, ABlobThatIsHalfReadOutlastsAnOutageOfTenMinutes) {
  std::atomic<int> requests = 0;
  Harness* world = nullptr;
  Harness harness([&](const HttpRequest& request) -> StatusOr<HttpResponse> {
    ++requests;
    if (world->clock.passed() < std::chrono::minutes(10)) {
      return MakeError(StatusCode::kUnavailable, "connection refused");
    }
    return ServeRange(request);
  });
  world = &harness;
  const auto blob = harness.Source("a.example/b")->BlobAt(BlobOf(kContent));
  std::promise<StatusOr<Bytes>> done;
  (*blob)->Read({.blob_offset = 1, .size_bytes = 3}, {},
                [&done](StatusOr<Bytes> bytes) { done.set_value(std::move(bytes)); });
  const auto bytes = done.get_future().get();
  ASSERT_TRUE(bytes.ok()) << bytes.status();
  EXPECT_EQ(AsText(*bytes), "123");
  EXPECT_LT(requests, 140);
}

TEST(RemoteBlob, WaitsAsLongAsItsHostIsWorth) {
  const struct {
    const char* image;
    std::chrono::seconds least;
    std::chrono::seconds most;
  } cases[] = {{"a.example/b", std::chrono::seconds(45), std::chrono::seconds(60)},
               {"quick.example/b", std::chrono::seconds(4), std::chrono::seconds(5)}};
  for (const auto& c : cases) {
    SCOPED_TRACE(c.image);
    Harness harness(
        [](const HttpRequest&) -> StatusOr<HttpResponse> {
          return MakeError(StatusCode::kUnavailable, "connection refused");
        },
        {},
        {.read_deadline = std::chrono::seconds(60),
         .hosts = {{"quick.example", {.read_deadline = std::chrono::seconds(5)}}}});
    const auto blob = harness.Source(c.image)->BlobAt(BlobOf(kContent));
    std::promise<Status> done;
    (*blob)->Read({.blob_offset = 1, .size_bytes = 3}, {},
                  [&done](const StatusOr<Bytes>& bytes) { done.set_value(bytes.status()); });
    const Status status = done.get_future().get();
    EXPECT_THAT(Describe(status), HasSubstr("connection refused"));
    EXPECT_GE(harness.clock.passed(), c.least);
    EXPECT_LE(harness.clock.passed(), c.most);
  }
}

TEST(RemoteBlob, GoesOnWithCredentialsThatComeLater) {
  FakeCredentials wrong(Credentials{.username = "u", .password = "old"});
  std::atomic<bool> is_changed = false;
  std::atomic<int> requests = 0;
  Harness* world = nullptr;
  Harness harness(
      [&](const HttpRequest& request) -> StatusOr<HttpResponse> {
        ++requests;
        is_changed = world->clock.passed() > std::chrono::minutes(2);
        if (FakeTransport::HeaderOf(request, "Authorization").empty() || !is_changed) {
          return Answer(401, "", {{"WWW-Authenticate", "Basic realm=\"r\""}});
        }
        return ServeRange(request);
      },
      {&wrong});
  world = &harness;
  const auto blob = harness.Source("a.example/b")->BlobAt(BlobOf(kContent));
  std::promise<StatusOr<Bytes>> done;
  (*blob)->Read({.blob_offset = 1, .size_bytes = 3}, {},
                [&done](StatusOr<Bytes> bytes) { done.set_value(std::move(bytes)); });
  const auto bytes = done.get_future().get();
  ASSERT_TRUE(bytes.ok()) << bytes.status();
  EXPECT_GT(wrong.asked, 3) << "they are looked up again each time";
  EXPECT_LT(requests, 3 * (10 + 120 / 5));
}

TEST(RemoteBlob, GoesOnWhenATokenServerIsBack) {
  TokenWorld tokens;
  Harness* world = nullptr;
  Harness harness([&](const HttpRequest& request) -> StatusOr<HttpResponse> {
    if (request.url.starts_with("https://auth.example/") &&
        world->clock.passed() < std::chrono::minutes(5)) {
      return MakeError(StatusCode::kUnavailable, "connection refused");
    }
    auto answer = tokens(request);
    return answer.status == 200 && request.url.starts_with("https://a.example/")
               ? ServeRange(request)
               : answer;
  });
  world = &harness;
  const auto blob = harness.Source("a.example/b")->BlobAt(BlobOf(kContent));
  std::promise<StatusOr<Bytes>> done;
  (*blob)->Read({.blob_offset = 1, .size_bytes = 3}, {},
                [&done](StatusOr<Bytes> bytes) { done.set_value(std::move(bytes)); });
  const auto bytes = done.get_future().get();
  ASSERT_TRUE(bytes.ok()) << bytes.status();
  EXPECT_LT(harness.transport.requests().size(), 160u);
}

TEST(RemoteBlob, AsksTheRegistryAgainWhenItsStorageHasGone) {
  std::atomic<bool> is_moved = false;
  Harness* world = nullptr;
  Harness harness([&](const HttpRequest& request) -> StatusOr<HttpResponse> {
    const bool is_registry_away = is_moved && world->clock.passed() < std::chrono::minutes(3);
    if (request.url.starts_with("https://a.example/") && !is_registry_away) {
      return Answer(307, "",
                    {{"Location", is_moved ? "https://new.example/x" : "https://old.example/x"}});
    }
    if (is_registry_away || (is_moved && request.url.starts_with("https://old.example/"))) {
      return MakeError(StatusCode::kUnavailable, "connection refused");
    }
    return ServeRange(request);
  });
  world = &harness;
  const auto blob = harness.Source("a.example/b")->BlobAt(BlobOf(kContent));
  ASSERT_TRUE((*blob)->ReadAndWait({.size_bytes = 1}).ok());
  is_moved = true;
  const auto bytes = (*blob)->ReadAndWait({.blob_offset = 1, .size_bytes = 3});
  ASSERT_TRUE(bytes.ok()) << bytes.status();
  EXPECT_EQ(AsText(*bytes), "123");
  EXPECT_LT(harness.transport.requests().size(), 80u);
}

TEST(RemoteBlob, ReadersAskOnceForANewRedirect) {
  constexpr int kReaders = 8;
  std::atomic<int> asked = 0;
  std::atomic<bool> is_expired = false;
  Harness harness([&](const HttpRequest& request) -> StatusOr<HttpResponse> {
    if (request.url.starts_with("https://a.example/")) {
      ++asked;
      return Answer(307, "",
                    {{"Location", fmt::format("https://storage.example/x?sig={}", asked.load())}});
    }
    if (is_expired && request.url.ends_with("sig=1")) {
      return Answer(403);
    }
    return ServeRange(request);
  });
  const auto blob = harness.Source("a.example/b")->BlobAt(BlobOf(kContent));
  ASSERT_TRUE((*blob)->ReadAndWait({.size_bytes = 1}).ok());
  EXPECT_EQ(asked, 1);
  is_expired = true;
  std::array<std::promise<Status>, kReaders> done;
  for (int i = 0; i < kReaders; ++i) {
    (*blob)->Read({.blob_offset = static_cast<uint64_t>(i), .size_bytes = 2}, {},
                  [&done, i](const StatusOr<Bytes>& bytes) { done[i].set_value(bytes.status()); });
  }
  for (auto& one : done) {
    EXPECT_TRUE(one.get_future().get().ok());
  }
  EXPECT_EQ(asked, 2);
}

TEST(RemoteBlob, TriesAgainNoOftenerThanItMay) {
  const struct {
    const char* name;
    FakeTransport::Handler handler;
  } cases[] = {
      {"refused",
       [](const HttpRequest&) -> StatusOr<HttpResponse> {
         return MakeError(StatusCode::kUnavailable, "connection refused");
       }},
      {"overloaded", [](const HttpRequest&) { return Answer(503); }},
      {"cut off",
       [](const HttpRequest& request) {
         auto answer = ServeRange(request);
         answer.body.clear();
         return answer;
       }},
  };
  for (const auto& c : cases) {
    for (const int max_retries : {0, 1, 3}) {
      SCOPED_TRACE(fmt::format("{}, {} retries", c.name, max_retries));
      Harness harness(c.handler);
      const auto blob = harness.Source("a.example/b")->BlobAt(BlobOf(kContent));
      ASSERT_TRUE(blob.ok());
      EXPECT_EQ((*blob)
                    ->ReadAndWait({.blob_offset = 0, .size_bytes = 5}, {.max_retries = max_retries})
                    .status()
                    .code(),
                StatusCode::kUnavailable);
      EXPECT_EQ(harness.transport.requests().size(), static_cast<size_t>(max_retries) + 1);
    }
  }
}

TEST(RemoteBlob, PassesOnWhatItIsAskedToKeepTo) {
  Harness harness(ServeRange);
  const auto blob = harness.Source("a.example/b")->BlobAt(BlobOf(kContent));
  ASSERT_TRUE(blob.ok());
  std::stop_source stop;
  ASSERT_TRUE((*blob)
                  ->ReadAndWait({.blob_offset = 0, .size_bytes = 2},
                                {.stop = stop.get_token(), .own_connection = true})
                  .ok());
  const auto requests = harness.transport.requests();
  ASSERT_EQ(requests.size(), 1u);
  EXPECT_TRUE(requests[0].own_connection);
  EXPECT_TRUE(requests[0].stop == stop.get_token());
  stop.request_stop();
  EXPECT_EQ((*blob)
                ->ReadAndWait({.blob_offset = 0, .size_bytes = 2}, {.stop = stop.get_token()})
                .status()
                .code(),
            StatusCode::kCancelled);
  EXPECT_EQ(harness.transport.requests().size(), 1u);
}

TEST(RemoteBlob, TellsThatItsHostHasAskedForAPause) {
  std::atomic<int> requests = 0;
  Harness harness([&](const HttpRequest& request) {
    return ++requests == 1 ? Answer(429, "", {{"Retry-After", "7"}}) : ServeRange(request);
  });
  const auto blob = harness.Source("a.example/b")->BlobAt(BlobOf(kContent));
  ASSERT_TRUE(blob.ok());
  EXPECT_FALSE((*blob)->IsPaused());
  EXPECT_FALSE((*blob)->ReadAndWait({.size_bytes = 2}, {.max_retries = 0}).ok());
  EXPECT_TRUE((*blob)->IsPaused());
  EXPECT_TRUE((*blob)->ReadAndWait({.size_bytes = 2}).ok()) << "after it";
  EXPECT_FALSE((*blob)->IsPaused());
  EXPECT_EQ(requests, 2);
}

TEST(RemoteBlob, StreamsOnlyTheRangeOfAWholeAnswer) {
  Harness harness([](const HttpRequest&) {
    return Answer(200, kContent, {{"Content-Length", std::to_string(kContent.size())}});
  });
  const auto blob = harness.Source("a.example/b")->BlobAt(BlobOf(kContent));
  ASSERT_TRUE(blob.ok());
  for (const oci::BlobRange range : {oci::BlobRange{0, 3}, {10, 16}, {30, 6}}) {
    const auto bytes = (*blob)->ReadAndWait(range);
    ASSERT_TRUE(bytes.ok()) << bytes.status();
    EXPECT_EQ(AsText(*bytes), kContent.substr(range.blob_offset, range.size_bytes));
  }
}

TEST(RemoteBlob, TheEndOfAWholeAnswerMayBreakOff) {
  std::atomic<int> requests = 0;
  Harness harness([&requests](const HttpRequest& request) -> StatusOr<HttpResponse> {
    ++requests;
    const auto answer = Answer(200, kContent);
    RETURN_IF_ERROR(request.on_headers(answer));
    RETURN_IF_ERROR(request.on_body(ByteSpan(answer.body).first(20)));
    return MakeError(StatusCode::kUnavailable, "connection reset");
  });
  const auto blob = harness.Source("a.example/b")->BlobAt(BlobOf(kContent));
  EXPECT_EQ(AsText(*(*blob)->ReadAndWait({.blob_offset = 3, .size_bytes = 4})), "3456");
  EXPECT_EQ(requests, 1);
}

TEST(RemoteBlob, RefusesMoreBytesThanTheRangeHas) {
  Harness harness([](const HttpRequest& request) {
    auto answer = ServeRange(request);
    answer.body.push_back(std::byte{'x'});
    return answer;
  });
  const auto blob = harness.Source("a.example/b")->BlobAt(BlobOf(kContent));
  ASSERT_TRUE(blob.ok());
  EXPECT_EQ((*blob)->ReadAndWait({.blob_offset = 4, .size_bytes = 5}).status().code(),
            StatusCode::kDataLoss);
}

TEST(RemoteBlob, FollowsRedirectsWithoutCredentialsAndRemembersThem) {
  TokenWorld world;
  std::atomic<int> signature = 1;
  Harness harness([&](const HttpRequest& request) {
    if (request.url.starts_with("https://storage.example/")) {
      if (!FakeTransport::HeaderOf(request, "Authorization").empty()) return Answer(400);
      return request.url.ends_with(std::to_string(signature)) ? ServeRange(request) : Answer(403);
    }
    auto answer = world(request);
    return answer.status == 200 && request.url.starts_with("https://a.example/")
               ? Answer(307, "",
                        {{"Location",
                          fmt::format("https://storage.example/x?sig={}", signature.load())}})
               : answer;
  });
  const auto blob = harness.Source("a.example/b")->BlobAt(BlobOf(kContent));
  ASSERT_TRUE(blob.ok());
  EXPECT_EQ(AsText(*(*blob)->ReadAndWait({.blob_offset = 0, .size_bytes = 2})), "01");
  EXPECT_EQ(harness.transport.requests().size(), 4u) << "401, token, redirect, bytes";
  EXPECT_EQ(AsText(*(*blob)->ReadAndWait({.blob_offset = 2, .size_bytes = 2})), "23");
  EXPECT_EQ(harness.transport.requests().size(), 5u) << "straight to the storage";
  signature = 2;
  EXPECT_EQ(AsText(*(*blob)->ReadAndWait({.blob_offset = 4, .size_bytes = 2})), "45");
  EXPECT_EQ(harness.transport.requests().size(), 8u) << "403, redirect, bytes";
}

}  // namespace
}  // namespace starling::registry
