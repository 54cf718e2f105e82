#include "registry/http_transport.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

namespace starling::registry {
namespace {

TEST(HttpResponse, FindsHeadersWhateverTheirCase) {
  const HttpResponse response{.headers = {{"Link", "a"}, {"etag", "e"}, {"LINK", "b"}}};
  EXPECT_EQ(response.HeaderValue("link"), "a");
  EXPECT_EQ(response.HeaderValue("ETag"), "e");
  EXPECT_EQ(response.HeaderValue("E"), "");
  EXPECT_THAT(response.HeaderValues("Link"), testing::ElementsAre("a", "b"));
}

}  // namespace
}  // namespace starling::registry
