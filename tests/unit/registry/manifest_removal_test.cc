#include "registry/manifest_removal.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "tests/unit/registry/harness.h"

namespace starling::registry {
namespace {

using testing::HasSubstr;

TEST(RemoveManifest, SaysWhatARegistryDoesNotAllow) {
  const std::string digest = oci::Digest::Of(AsBytes("x")).ToString();
  const struct {
    const char* name;
    std::string object;
    int status;
    StatusCode want;
    const char* said;
  } cases[] = {
      {"by digest", "@" + digest, 202, StatusCode::kOk, ""},
      {"by tag", ":v1", 202, StatusCode::kOk, ""},
      {"done at once", ":v1", 204, StatusCode::kOk, ""},
      {"not there", "@" + digest, 404, StatusCode::kNotFound, "check"},
      {"not by tag", ":v1", 405, StatusCode::kUnimplemented, "by its digest"},
      {"not by tag, as docker-registry says it", ":v1", 400, StatusCode::kUnimplemented,
       "by its digest"},
      {"not at all", "@" + digest, 405, StatusCode::kUnimplemented, "storage.delete.enabled"},
      {"not by us", "@" + digest, 403, StatusCode::kPermissionDenied, "log in"},
      {"a digest that is refused", "@" + digest, 400, StatusCode::kFailedPrecondition, "400"},
  };
  for (const auto& c : cases) {
    SCOPED_TRACE(c.name);
    Harness harness([&](const HttpRequest&) { return Answer(c.status); });
    const Status removed = harness.client.Remove(*oci::Reference::Parse("a.example/b" + c.object));
    EXPECT_EQ(removed.code(), c.want);
    EXPECT_THAT(Describe(removed), HasSubstr(c.said));
    const auto requests = harness.transport.requests();
    ASSERT_EQ(requests.size(), 1u);
    EXPECT_EQ(requests[0].method, "DELETE");
    EXPECT_EQ(requests[0].url, "https://a.example/v2/b/manifests/" + c.object.substr(1));
  }
}

}  // namespace
}  // namespace starling::registry
