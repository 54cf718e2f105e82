#include "registry/manifest_upload.h"

#include <gtest/gtest.h>

#include "tests/unit/registry/harness.h"

namespace starling::registry {
namespace {

TEST(UploadManifest, StoresUnderItsName) {
  const oci::RawManifest manifest{
      .media_type = "type", .digest = oci::Digest::Of(AsBytes("{}")), .bytes = ToBytes("{}")};
  const struct {
    std::string_view name;
    int status;
    std::string stored;  // as the registry says
    StatusCode want;
  } cases[] = {
      {"created", 201, manifest.digest.ToString(), StatusCode::kOk},
      {"accepted, nothing said", 202, "", StatusCode::kOk},
      {"stored something else", 201, oci::Digest::Of(AsBytes("x")).ToString(),
       StatusCode::kDataLoss},
      {"refused", 403, "", StatusCode::kPermissionDenied},
      {"not created", 200, "", StatusCode::kFailedPrecondition},
  };
  for (const auto& c : cases) {
    SCOPED_TRACE(c.name);
    Harness harness([&](const HttpRequest&) {
      return Answer(c.status, "", {{"Docker-Content-Digest", c.stored}});
    });
    const Status stored = harness.client.Destination(*oci::Reference::Parse("a.example/b:tag"))
                              ->WriteTopManifest(manifest);
    EXPECT_EQ(stored.code(), c.want);
    EXPECT_TRUE(stored.ok() || Describe(stored).find("manifest tag") != std::string::npos)
        << stored;
    const auto requests = harness.transport.requests();
    ASSERT_EQ(requests.size(), 1u);
    EXPECT_EQ(requests[0].method, "PUT");
    EXPECT_EQ(requests[0].url, "https://a.example/v2/b/manifests/tag");
    EXPECT_EQ(requests[0].body, manifest.bytes);
    EXPECT_EQ(FakeTransport::HeaderOf(requests[0], "Content-Type"), "type");
  }
}

TEST(UploadManifest, OffersAgainWhereABlobIsUnknownForAMoment) {
  // What Distribution says while another push of the same blob writes its link.
  constexpr std::string_view kBeingWritten =
      R"({"errors":[{"code":"DIGEST_INVALID","message":"no"},{"code":"MANIFEST_BLOB_UNKNOWN"}]})";
  constexpr std::string_view kOther = R"({"errors":[{"code":"MANIFEST_INVALID"}]})";
  const oci::RawManifest manifest{
      .media_type = "type", .digest = oci::Digest::Of(AsBytes("{}")), .bytes = ToBytes("{}")};
  const struct {
    std::string_view name;
    int unknown;  // so often
    int status;
    std::string_view body;
    StatusCode want;
    size_t want_requests;
  } cases[] = {
      {"known the second time", 1, 400, kBeingWritten, StatusCode::kOk, 2},
      {"known the last time", kMaxBlobUnknownRetries, 404, kBeingWritten, StatusCode::kOk,
       kMaxBlobUnknownRetries + 1},
      {"never known", 100, 400, kBeingWritten, StatusCode::kFailedPrecondition,
       kMaxBlobUnknownRetries + 1},
      {"refused for another reason", 1, 400, kOther, StatusCode::kFailedPrecondition, 1},
      {"refused without one", 1, 404, "", StatusCode::kNotFound, 1},
  };
  for (const auto& c : cases) {
    SCOPED_TRACE(c.name);
    int offered = 0;
    Harness harness([&](const HttpRequest&) {
      return ++offered <= c.unknown ? Answer(c.status, c.body) : Answer(201);
    });
    const Status stored = harness.client.Destination(*oci::Reference::Parse("a.example/b:tag"))
                              ->WriteTopManifest(manifest);
    EXPECT_EQ(stored.code(), c.want) << stored;
    EXPECT_EQ(harness.transport.requests().size(), c.want_requests);
  }
}

}  // namespace
}  // namespace starling::registry
