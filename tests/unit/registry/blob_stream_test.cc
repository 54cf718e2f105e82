#include "registry/blob_stream.h"

#include <gtest/gtest.h>

#include <cstring>

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

TEST(DownloadBlob, StopsWhenTheSinkFails) {
  class FullSink : public ByteSink {
    Status Write(ByteSpan) override { return MakeError(StatusCode::kResourceExhausted, "full"); }
  } sink;
  Harness harness(ServeRange);
  EXPECT_EQ(harness.Source("a.example/b")->ReadBlob(BlobOf(kContent), sink).code(),
            StatusCode::kResourceExhausted);
  EXPECT_EQ(harness.transport.requests().size(), 1u);
}

oci::ImageDestination::OpenStream StreamOf(std::string_view content) {
  class Source : public ByteSource {
   public:
    explicit Source(std::string_view content) : rest_(content) {}
    StatusOr<size_t> Read(std::span<std::byte> out) override {
      const std::string_view part = rest_.substr(0, out.size());
      std::memcpy(out.data(), part.data(), part.size());
      rest_.remove_prefix(part.size());
      return part.size();
    }

   private:
    std::string_view rest_;
  };
  return [content]() -> StatusOr<std::unique_ptr<ByteSource>> {
    return std::make_unique<Source>(content);
  };
}

TEST(UploadBlob, SendsNothingToThisMachineOrItsLink) {
  for (const char* location :
       {"https://169.254.169.254/upload", "https://127.0.0.1/upload", "http://b.example/upload"}) {
    SCOPED_TRACE(location);
    Harness harness([&location](const HttpRequest& request) {
      return request.method == "POST" ? Answer(202, "", {{"Location", location}}) : Answer(404);
    });
    const auto image = *oci::Reference::Parse("a.example/b");
    EXPECT_EQ(
        harness.client.Destination(image)->WriteBlob(BlobOf(kContent), StreamOf(kContent)).code(),
        StatusCode::kFailedPrecondition);
    EXPECT_EQ(harness.transport.requests().size(), 2u) << "HEAD, POST";
  }
}

TEST(UploadBlob, ARegistryThatIsReadOnlyRefusesOnceAndIsRead) {
  Harness harness([](const HttpRequest& request) {
    if (request.method == "HEAD") return Answer(404);
    return request.method == "GET"
               ? ServeRange(request)
               : Answer(405, R"({"errors":[{"code":"UNSUPPORTED","message":"read-only"}]})");
  });
  const auto image = *oci::Reference::Parse("a.example/b");
  const Status refused =
      harness.client.Destination(image)->WriteBlob(BlobOf(kContent), StreamOf(kContent));
  EXPECT_FALSE(refused.ok());
  EXPECT_NE(Describe(refused).find("read-only"), std::string::npos) << refused;
  EXPECT_EQ(harness.transport.requests().size(), 2u);
  const auto blob = harness.Source("a.example/b")->BlobAt(BlobOf(kContent));
  EXPECT_TRUE((*blob)->ReadAndWait({.size_bytes = 2}).ok());
}

}  // namespace
}  // namespace starling::registry
