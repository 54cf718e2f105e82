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

}  // namespace
}  // namespace starling::registry
