#include "control/status_messages.h"

#include <gtest/gtest.h>

#include "tests/support/fake_status.h"

namespace starling::control {
namespace {

using testing_support::SomeLayer;

TEST(StatusMessagesTest, GoThereAndBack) {
  const layer::LayerStatus status = SomeLayer(3, {"a", "b"});
  const auto back = FromProto(ToProto(status));
  ASSERT_TRUE(back.ok()) << back.status();
  EXPECT_EQ(*back, status);
}

TEST(StatusMessagesTest, RefusesNonsenseAboutStarts) {
  const std::vector<v1::StartsPart> parts = ToProto(testing_support::SomeStart("a"));
  ASSERT_EQ(parts.size(), 4U);
  std::vector<layer::ImageStart> starts;
  EXPECT_EQ(AddPart(parts[1], starts).code(), StatusCode::kInvalidArgument) << "of no start";
  ASSERT_TRUE(AddPart(parts[0], starts).ok());
  v1::StartsPart wrong = parts[0];
  wrong.mutable_start()->set_manifest_digest("x");
  EXPECT_EQ(AddPart(wrong, starts).code(), StatusCode::kInvalidArgument);
  wrong = parts[1];
  wrong.mutable_need()->clear_digest();
  EXPECT_EQ(AddPart(wrong, starts).code(), StatusCode::kInvalidArgument);
  wrong = parts[2];
  wrong.mutable_fetch()->set_purpose("fun");
  EXPECT_EQ(AddPart(wrong, starts).code(), StatusCode::kInvalidArgument);
  EXPECT_TRUE(AddPart(v1::StartsPart(), starts).ok()) << "what a newer server tells";
  v1::StartsPart late = parts[1];
  late.mutable_need()->set_milliseconds(UINT64_MAX);
  ASSERT_TRUE(AddPart(late, starts).ok());
  EXPECT_EQ(starts[0].needs[0].file.first_need, layer::AccessProfile::kMaxFirstNeed);
}

/// What other versions send, or somebody else on the socket.
TEST(StatusMessagesTest, RefusesNonsenseAndBoundsTheRest) {
  v1::LayerStatus message = ToProto(SomeLayer(3, {"a"}));
  v1::LayerStatus wrong = message;
  wrong.set_digest("sha256:../../etc");
  EXPECT_EQ(FromProto(wrong).status().code(), StatusCode::kInvalidArgument);
  wrong = message;
  wrong.set_mode("reckless");
  EXPECT_EQ(FromProto(wrong).status().code(), StatusCode::kInvalidArgument);
  wrong = message;
  wrong.mutable_worst_reads(0)->clear_toc_digest();
  EXPECT_EQ(FromProto(wrong).status().code(), StatusCode::kInvalidArgument);

  v1::Fallback fallback = ToProto(testing_support::SomeFallback("a"));
  fallback.set_digest("x");
  EXPECT_EQ(FromProto(fallback).status().code(), StatusCode::kInvalidArgument);
  fallback = ToProto(testing_support::SomeFallback("a"));
  for (const int32_t code : {-1, 0, 17, INT32_MAX}) {
    fallback.set_code(code);
    EXPECT_EQ(FromProto(fallback)->reason.code(), StatusCode::kUnknown) << code;
  }

  for (int i = 0; i < 10; ++i) {
    message.add_fetched();
    message.add_came();
  }
  message.mutable_stall_times()->set_disk_nanoseconds(UINT64_MAX);
  message.mutable_stall_times()->set_queue_nanoseconds(UINT64_MAX);
  message.mutable_places(0)->set_seconds_since_failure(UINT64_MAX);
  const auto status = FromProto(message);
  ASSERT_TRUE(status.ok()) << status.status();
  EXPECT_EQ(status->use.fetched, SomeLayer(3, {}).use.fetched);
  EXPECT_GT(status->use.stalls.times.total(), std::chrono::hours(1));
  EXPECT_EQ(status->places[0].since_failure, std::chrono::seconds(UINT32_MAX));
}

}  // namespace
}  // namespace starling::control
