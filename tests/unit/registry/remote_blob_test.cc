#include "registry/remote_blob.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <future>
#include <stop_token>

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
         answer.body.resize(2);
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
