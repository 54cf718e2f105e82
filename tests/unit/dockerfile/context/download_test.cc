#include "dockerfile/context/download.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <sys/stat.h>

#include "base/temp_dir.h"
#include "tests/support/file_tree.h"
#include "tests/support/test_server.h"

namespace starling::dockerfile::context {
namespace {

using ::testing::HasSubstr;
using ::testing::Not;
using testing_support::ReadWhole;
using testing_support::ServedRequest;
using testing_support::ServedResponse;
using testing_support::TestServer;

class DownloadTest : public ::testing::Test {
 protected:
  std::string Url(const std::string& target) const { return server_.url() + target; }
  StatusOr<oci::Digest> Get(const std::string& target, const DownloadOptions& options = {},
                            const std::stop_token& stop = {}) {
    return Download(Url(target), path(), options, stop);
  }
  std::filesystem::path path() const { return directory_.path() / "file"; }
  std::vector<ServedRequest> Requests() { return server_.requests(); }

  ServedResponse Serve(const ServedRequest& request) {
    ServedResponse response;
    response.headers = {{"ETag", "\"strong\""}, {"Last-Modified", "Thu, 01 Jan 1970 00:16:40 GMT"}};
    if (request.target == "/redirect") {
      return {.status = 302, .headers = {{"Location", "/file"}}};
    }
    if (request.target == "/loop") {
      return {.status = 302, .headers = {{"Location", "/loop"}}};
    }
    if (request.target == "/elsewhere") {
      return {.status = 302, .headers = {{"Location", "file:///etc/passwd"}}};
    }
    if (request.target == "/none") {
      return {.status = 404, .body = "not here"};
    }
    if (request.target == "/busy" && busy_-- > 0) {
      return {.status = 503, .body = "busy"};
    }
    if (request.target == "/weak") {
      response.headers[0].second = "W/\"weak\"";
    }
    const std::string range = request.Header("range");
    if (!range.empty() && request.Header("if-range") == "\"strong\"") {
      const size_t from = std::stoul(range.substr(range.find('=') + 1));
      response.status = 206;
      response.headers.emplace_back(
          "Content-Range",
          fmt::format("bytes {}-{}/{}", from, kContent.size() - 1, kContent.size()));
      response.body = kContent.substr(from);
      return response;
    }
    response.body = kContent;
    if (request.target.starts_with("/broken") || request.target == "/weak") {
      response.cut_after_bytes = breaks_-- > 0 ? 60'000 : -1;
    }
    return response;
  }

  inline static const std::string kContent = [] {
    std::string content;
    for (int i = 0; i < 20'000; ++i) {
      content += fmt::format("{:06}", i);
    }
    return content;
  }();
  std::atomic<int> busy_ = 2;
  std::atomic<int> breaks_ = 1;
  TempDir directory_ = *TempDir::Make("/tmp", "download-");
  TestServer server_{[this](const ServedRequest& request) { return Serve(request); }};
};

TEST_F(DownloadTest, KeepsContentAndTime) {
  const auto digest = Get("/file");
  ASSERT_TRUE(digest.ok()) << digest.status();
  EXPECT_EQ(*digest, oci::Digest::Of(AsBytes(kContent)));
  EXPECT_EQ(ReadWhole(path()), kContent);
  struct stat attributes{};
  ASSERT_EQ(::stat(path().c_str(), &attributes), 0);
  EXPECT_EQ(attributes.st_mode & 07777U, 0600u);
  EXPECT_EQ(attributes.st_mtim.tv_sec, 1000);
}

TEST_F(DownloadTest, FollowsRedirectsButNotForEverNorAnywhere) {
  EXPECT_TRUE(Get("/redirect").ok());
  std::filesystem::remove(path());
  EXPECT_EQ(Get("/loop").status().code(), StatusCode::kUnavailable);
  EXPECT_EQ(Get("/elsewhere").status().code(), StatusCode::kUnavailable);
  EXPECT_FALSE(std::filesystem::exists(path()));
}

TEST_F(DownloadTest, GoesOnWhereATransferBroke) {
  ASSERT_TRUE(Get("/broken").ok());
  EXPECT_EQ(ReadWhole(path()), kContent);
  ASSERT_EQ(Requests().size(), 2u);
  EXPECT_EQ(Requests()[1].Header("range"), "bytes=60000-");
}

TEST_F(DownloadTest, StartsAnewWhereTheContentMayHaveChanged) {
  ASSERT_TRUE(Get("/weak").ok());
  EXPECT_EQ(ReadWhole(path()), kContent);
  EXPECT_EQ(Requests()[1].Header("range"), "");
}

TEST_F(DownloadTest, TriesAgainWhenTheServerIsBusy) {
  EXPECT_TRUE(Get("/busy").ok());
  EXPECT_EQ(Requests().size(), 3u);
}

TEST_F(DownloadTest, ChecksTheChecksum) {
  DownloadOptions options;
  options.checksum = oci::Digest::Of(AsBytes(kContent));
  EXPECT_TRUE(Get("/file", options).ok());
  std::filesystem::remove(path());
  options.checksum = oci::Digest::Of(AsBytes("another"));
  EXPECT_EQ(Get("/file", options).status().code(), StatusCode::kDataLoss);
  EXPECT_FALSE(std::filesystem::exists(path()));
}

TEST_F(DownloadTest, FailsWithAReasonAndWithoutTheQuery) {
  const auto none = Get("/none?token=secret");
  EXPECT_TRUE(none.ok());  // another target of this server
  std::filesystem::remove(path());
  const auto missing = Get("/none");
  EXPECT_EQ(missing.status().code(), StatusCode::kNotFound);
  EXPECT_EQ(Requests().size(), 2u);
  DownloadOptions small;
  small.max_bytes = 1000;
  const auto large = Get("/file?token=secret", small);
  EXPECT_EQ(large.status().code(), StatusCode::kResourceExhausted);
  EXPECT_THAT(std::string(MessageOf(large.status())), Not(HasSubstr("secret")));
  EXPECT_FALSE(std::filesystem::exists(path()));
}

TEST_F(DownloadTest, StopsWhenItIsTold) {
  std::stop_source stop;
  stop.request_stop();
  EXPECT_EQ(Get("/file", {}, stop.get_token()).status().code(), StatusCode::kCancelled);
}

TEST_F(DownloadTest, LeavesWhatIsThereAlone) {
  testing_support::Shell("echo mine >" + path().native());
  EXPECT_FALSE(Get("/file").ok());
  EXPECT_EQ(ReadWhole(path()), "mine\n");
}

}  // namespace
}  // namespace starling::dockerfile::context
