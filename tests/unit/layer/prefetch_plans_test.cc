#include "layer/prefetch_plans.h"

#include <gtest/gtest.h>

#include "tests/unit/layer/prefetch_plan_fixture.h"

namespace starling::layer {
namespace {

class PrefetchPlansTest : public PrefetchPlanFixture {
 protected:
  void SetUp() override {
    PrefetchPlanFixture::SetUp();
    profiles_.emplace(directory_->path() / "profiles", RealFileSystem());
    plans_.emplace(*profiles_, scheduler_);
  }
  void Keep(std::vector<AccessRange> first, std::vector<AccessRange> second) {
    const auto kept = profiles_->Add(Profile(std::move(first), std::move(second)));
    ASSERT_TRUE(kept.ok()) << kept.status();
  }
  /// Until the executor has let go of it too.
  static void Drop(Opened& opened) {
    opened.layer->Close();
    std::weak_ptr<LazyLayer> last = std::exchange(opened.layer, nullptr);
    while (!last.expired()) {
      std::this_thread::yield();
    }
  }

  const oci::Digest kImage = oci::Digest::Of(AsBytes("image"));
  std::optional<ProfileStore> profiles_;
  std::optional<PrefetchPlans> plans_;
};

TEST_F(PrefetchPlansTest, NothingIsPlannedWithoutAProfile) {
  EXPECT_EQ(plans_->Join(kImage, first_.layer, "host").status().code(), StatusCode::kNotFound);
}

TEST_F(PrefetchPlansTest, LayersOfAnImageShareAPlan) {
  Keep({Need(1, 5)}, {Need(3, 2)});
  const auto first = plans_->Join(kImage, first_.layer, "host");
  ASSERT_TRUE(first.ok()) << first.status();
  const auto second = plans_->Join(kImage, second_.layer, "host");
  ASSERT_TRUE(second.ok()) << second.status();
  EXPECT_TRUE(first->is_first);
  EXPECT_FALSE(second->is_first);
  EXPECT_EQ(first->plan, second->plan);
  EXPECT_EQ(first->plan->NeededBytes(), 2 * kFile);
  WaitFor(first_, 1);
  WaitFor(second_, 3);
}

TEST_F(PrefetchPlansTest, ALayerThatTheProfileDoesNotKnowHoldsItsPlan) {
  const auto profile =
      AccessProfile::Make(kImage, 1, {{.key = second_.layer->key(), .ranges = {Need(3, 2)}}});
  ASSERT_TRUE(profile.ok()) << profile.status();
  ASSERT_TRUE(profiles_->Add(*profile).ok());
  const auto first = plans_->Join(kImage, first_.layer, "host");
  ASSERT_TRUE(first.ok()) << first.status();
  const auto second = plans_->Join(kImage, second_.layer, "host");
  ASSERT_TRUE(second.ok()) << second.status();
  EXPECT_EQ(first->plan, second->plan);
  EXPECT_FALSE(second->is_first);
}

TEST_F(PrefetchPlansTest, LayersThatComeAtOnceShareAPlan) {
  Keep({Need(1, 5)}, {Need(3, 2)});
  StatusOr<PrefetchPlans::Joined> first = MakeError(StatusCode::kUnknown, "did not join");
  std::thread other([&] { first = plans_->Join(kImage, first_.layer, "host"); });
  const auto second = plans_->Join(kImage, second_.layer, "host");
  other.join();
  ASSERT_TRUE(first.ok()) << first.status();
  ASSERT_TRUE(second.ok()) << second.status();
  EXPECT_EQ(first->plan, second->plan);
  EXPECT_NE(first->is_first, second->is_first);
}

TEST_F(PrefetchPlansTest, AnImageThatComesAgainBeginsAnew) {
  Keep({Need(1, 0)}, {Need(3, 1)});
  ASSERT_TRUE(plans_->Join(kImage, first_.layer, "host").ok());
  WaitFor(first_, 1);
  Drop(first_);
  const auto again = plans_->Join(kImage, second_.layer, "host");
  ASSERT_TRUE(again.ok()) << again.status();
  EXPECT_TRUE(again->is_first);
}

}  // namespace
}  // namespace starling::layer
