#include "standalone/store_services.h"

#include <gmock/gmock.h>

#include "tests/unit/standalone/standalone_fixture.h"

namespace starling::standalone {
namespace {

using testing::IsEmpty;

class StoreServicesTest : public StandaloneFixture {};

TEST_F(StoreServicesTest, ImagesAreReplaced) {
  EXPECT_EQ(client_.GetImage("app:1").status().code(), StatusCode::kNotFound);
  ASSERT_TRUE(client_.PutImage("app:1", DescriptorOf("one")).ok());
  ASSERT_TRUE(client_.PutImage("app:1", DescriptorOf("three")).ok());
  const auto image = client_.GetImage("app:1");
  ASSERT_TRUE(image.ok()) << image.status();
  EXPECT_EQ(image->digest, DescriptorOf("three").digest);
  EXPECT_EQ(image->size_bytes, 5);
  EXPECT_EQ(image->media_type, "m");
  ASSERT_EQ(client_.Images()->size(), 1);
  EXPECT_EQ(client_.Images()->front().name, "app:1");
  ASSERT_TRUE(server_->ForgetImages().ok());
  EXPECT_THAT(*client_.Images(), IsEmpty());
}

TEST_F(StoreServicesTest, LeasesEnd) {
  const auto id = client_.CreateLease(std::chrono::hours(1), "l");
  ASSERT_TRUE(id.ok()) << id.status();
  EXPECT_EQ(client_.CreateLease(std::chrono::hours(1), "l").status().code(),
            StatusCode::kAlreadyExists);
  client_.UseLease("l");
  ASSERT_TRUE(client_.HoldSnapshot(kSnapshotter, "s").ok());
  const std::string text = "held";
  ASSERT_TRUE(client_.PutContent(DescriptorOf(text), AsBytes(text), {}).ok());
  EXPECT_EQ(server_->Collect()->contents, 0);
  ASSERT_TRUE(client_.DeleteLease("l").ok());
  EXPECT_EQ(client_.DeleteLease("l").code(), StatusCode::kNotFound);
  // Who goes on after that makes nothing that nobody would remove.
  EXPECT_EQ(client_.HoldSnapshot(kSnapshotter, "s").code(), StatusCode::kFailedPrecondition);
  EXPECT_EQ(client_.PrepareSnapshot(kSnapshotter, "k", "", {}).status().code(),
            StatusCode::kFailedPrecondition);
  EXPECT_THAT(Snapshots(), IsEmpty());
  EXPECT_EQ(server_->Collect()->contents, 1);
}

TEST_F(StoreServicesTest, TheyAnswerAsAVersion) { EXPECT_EQ(*client_.Version(), "standalone"); }

}  // namespace
}  // namespace starling::standalone
