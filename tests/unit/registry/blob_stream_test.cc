#include "registry/blob_stream.h"

#include <gtest/gtest.h>

#include "tests/unit/registry/harness.h"

namespace starling::registry {
namespace {

TEST(DownloadBlob, StreamsAndResumesWhereItBroke) {
  int requests = 0;
  Harness harness([&](const HttpRequest& request) -> StatusOr<HttpResponse> {
    if (++requests == 1) {
      request.download->Write(AsBytes(kContent.substr(0, 7))).IgnoreError();
      return MakeError(StatusCode::kUnavailable, "reset");
    }
    if (requests == 2) return Answer(503);
    return ServeRange(request);
  });
  BytesSink sink;
  const Status status = harness.Source("a.example/b")->ReadBlob(BlobOf(kContent), sink);
  ASSERT_TRUE(status.ok()) << status;
  EXPECT_EQ(AsText(sink.bytes()), kContent);
  EXPECT_EQ(FakeTransport::HeaderOf(harness.transport.requests().back(), "Range"), "bytes=7-");
}

TEST(DownloadBlob, ResumesOnAServerWithoutRanges) {
  int requests = 0;
  Harness harness([&](const HttpRequest& request) -> StatusOr<HttpResponse> {
    if (++requests == 1) {
      request.download->Write(AsBytes(kContent.substr(0, 7))).IgnoreError();
      return MakeError(StatusCode::kUnavailable, "reset");
    }
    return Answer(200, kContent);
  });
  BytesSink sink;
  ASSERT_TRUE(harness.Source("a.example/b")->ReadBlob(BlobOf(kContent), sink).ok());
  EXPECT_EQ(AsText(sink.bytes()), kContent);
}

TEST(DownloadBlob, ChecksWhatItStreamed) {
  const struct {
    const char* name;
    std::string body;
    StatusCode want;
  } cases[] = {
      {"other bytes", std::string(kContent.size(), 'x'), StatusCode::kDataLoss},
      {"too many", kContent + "!", StatusCode::kDataLoss},
      {"too few", kContent.substr(1), StatusCode::kDataLoss},
  };
  for (const auto& c : cases) {
    SCOPED_TRACE(c.name);
    Harness harness([&](const HttpRequest& request) {
      return FakeTransport::HeaderOf(request, "Range").empty() ? Answer(200, c.body)
                                                               : ServeRange(request);
    });
    BytesSink sink;
    EXPECT_EQ(harness.Source("a.example/b")->ReadBlob(BlobOf(kContent), sink).code(), c.want);
  }
}

TEST(DownloadBlob, DoesNotTakeEncodedBytesForTheBlobs) {
  Harness harness([&](const HttpRequest&) {
    HttpResponse answer = Answer(200, "shorter than the blob");
    answer.headers.push_back({.name = "Content-Encoding", .value = "gzip"});
    return answer;
  });
  BytesSink sink;
  const Status status = harness.Source("a.example/b")->ReadBlob(BlobOf(kContent), sink);
  EXPECT_EQ(status.code(), StatusCode::kDataLoss);
  EXPECT_NE(MessageOf(status).find("encodes the blob as gzip"), std::string_view::npos) << status;
  EXPECT_TRUE(sink.bytes().empty());
  EXPECT_EQ(harness.transport.requests().size(), 1u);
}

TEST(DownloadBlob, StopsWhenTheSinkFails) {
  class FullSink : public ByteSink {
    Status Write(ByteSpan) override { return MakeError(StatusCode::kResourceExhausted, "full"); }
  } sink;
  Harness harness(ServeRange);
  EXPECT_EQ(harness.Source("a.example/b")->ReadBlob(BlobOf(kContent), sink).code(),
            StatusCode::kResourceExhausted);
  EXPECT_EQ(harness.transport.requests().size(), 1u);
}

}  // namespace
}  // namespace starling::registry
