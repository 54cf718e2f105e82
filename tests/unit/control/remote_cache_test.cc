#include "control/remote_cache.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "base/temp_dir.h"
#include "control/cache_service.h"
#include "snapshotter/grpc_server.h"
#include "tests/support/fake_cache.h"

namespace starling::control {
namespace {

using testing::ElementsAre;
using testing::HasSubstr;

store::LayerKey Key(std::string_view name) {
  return {.layer = oci::Digest::Of(AsBytes(name)), .toc = oci::Digest::Of(AsBytes("toc"))};
}

/// What a client gets is what the cache said.
class RemoteCacheTest : public testing::Test {
 protected:
  std::string Address() const { return directory_.path() / "s.sock"; }

  TempDir directory_ = *TempDir::Make("/tmp", "cache-");
  testing_support::FakeCache fake_;
  CacheService service_{fake_};
  std::unique_ptr<snapshotter::GrpcServer> server_ =
      *snapshotter::GrpcServer::Start({}, *snapshotter::UnixListener::Bind(Address()), {&service_});
  std::unique_ptr<layer::Cache> remote_ = ConnectToCache(Address());
};

TEST_F(RemoteCacheTest, ListsWhatIsHeld) {
  fake_.state = {.layers = {{.key = Key("one"),
                             .held_bytes = 1,
                             .total_bytes = 2,
                             .disk_bytes = 3,
                             .is_complete = true,
                             .is_shown = true,
                             .pins = {"pinned", "the kernel"},
                             .images = {"image one", "image two"},
                             .since_last_read = std::chrono::seconds(0)},
                            {.key = Key("other")}},
                 .pins = {"image one"},
                 .disk_bytes = uint64_t{5} << 40,
                 .max_bytes = 7};
  const auto listed = remote_->List();
  ASSERT_TRUE(listed.ok()) << listed.status();
  EXPECT_EQ(*listed, fake_.state);
}

TEST_F(RemoteCacheTest, PassesOnWhatIsToBeDone) {
  fake_.layers = 4;
  fake_.evicted = {.layers = 1, .content_bytes = 2, .disk_bytes = 3};
  EXPECT_EQ(remote_->Pin("image").value(), 4U);
  EXPECT_EQ(remote_->Unpin("image").value(), 4U);
  EXPECT_EQ(remote_->Evict(Key("one").layer).value(), fake_.evicted);
  EXPECT_EQ(remote_->EvictTo(0).value(), fake_.evicted);
  EXPECT_EQ(remote_->Clear().value(), fake_.evicted);
  EXPECT_THAT(fake_.calls,
              ElementsAre("pin image", "unpin image", "evict " + Key("one").layer.ToString(),
                          "evict to 0", "clear"));
}

TEST_F(RemoteCacheTest, AVerificationIsHeardOfAsItGoes) {
  fake_.verifications = {{.key = Key("one"), .held_bytes = 9, .checked_bytes = 4},
                         {.key = Key("one"),
                          .held_bytes = 9,
                          .checked_bytes = 9,
                          .wrong_chunks = 3,
                          .mended_chunks = 2,
                          .is_done = true,
                          .problem = "away"}};
  std::vector<layer::Verification> heard;
  const auto hear = [&](const layer::Verification& so_far) {
    heard.push_back(so_far);
    return true;
  };
  EXPECT_TRUE(remote_->Verify(std::nullopt, hear).ok());
  EXPECT_EQ(heard, fake_.verifications);
  EXPECT_TRUE(remote_->Verify(Key("one").layer, hear).ok());
  EXPECT_EQ(remote_->Verify(std::nullopt, [](const auto&) { return false; }).code(),
            StatusCode::kCancelled);
  EXPECT_THAT(fake_.calls,
              ElementsAre("verify all", "verify " + Key("one").layer.ToString(), "verify all"));
}

TEST_F(RemoteCacheTest, ErrorsKeepTheirCodes) {
  fake_.error = MakeError(StatusCode::kFailedPrecondition, "it is pinned");
  EXPECT_EQ(remote_->Evict(Key("one").layer).status().code(), StatusCode::kFailedPrecondition);
  EXPECT_EQ(remote_->Pin("x").status().code(), StatusCode::kFailedPrecondition);
  EXPECT_THAT(MessageOf(remote_->Clear().status()), HasSubstr("it is pinned"));
  EXPECT_EQ(remote_->Verify(std::nullopt, [](const auto&) { return true; }).code(),
            StatusCode::kFailedPrecondition);
}

TEST_F(RemoteCacheTest, SaysWhoIsMissing) {
  const auto nobody = ConnectToCache(directory_.path() / "none.sock");
  EXPECT_EQ(nobody->List().status().code(), StatusCode::kUnavailable);
  EXPECT_THAT(MessageOf(nobody->List().status()), HasSubstr("none.sock: is starlingd running"));
  const std::string other = directory_.path() / "other.sock";
  const auto older =
      *snapshotter::GrpcServer::Start({}, *snapshotter::UnixListener::Bind(other), {});
  const Status status = ConnectToCache(other)->List().status();
  EXPECT_EQ(status.code(), StatusCode::kUnimplemented);
  EXPECT_THAT(MessageOf(status), HasSubstr("older starling"));
}

}  // namespace
}  // namespace starling::control
