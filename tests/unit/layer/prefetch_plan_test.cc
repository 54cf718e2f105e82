#include "layer/prefetch_plan.h"

#include <gtest/gtest.h>

#include <future>
#include <memory>
#include <vector>

#include "tests/support/name_source.h"
#include "tests/unit/layer/prefetch_plan_fixture.h"

namespace starling::layer {
namespace {

using PrefetchPlanTest = PrefetchPlanFixture;

TEST_F(PrefetchPlanTest, CountsWhatALayerNeeds) {
  const PrefetchPlan plan(Profile({Need(1, 5), Need(8, 0)}, {Need(3, 2)}), scheduler_);
  EXPECT_EQ(plan.NeededBytes(first_.layer->key()), 2 * kFile);
  EXPECT_EQ(plan.NeededBytes(second_.layer->key()), kFile);
  EXPECT_EQ(plan.NeededBytes({.layer = first_.layer->key().layer, .toc = {}}), 0U);
}

TEST_F(PrefetchPlanTest, FetchesWhatTheProfileNamesAndNothingElse) {
  const auto plan =
      std::make_shared<PrefetchPlan>(Profile({Need(1, 5), Need(8, 0)}, {Need(3, 2)}), scheduler_);
  plan->Attach(first_.layer, "host");
  WaitFor(first_, 1);
  WaitFor(first_, 8);
  EXPECT_FALSE(Holds(second_, 3)) << "its layer is not there yet";
  plan->Attach(second_.layer, "host");
  WaitFor(second_, 3);
  EXPECT_FALSE(Holds(second_, 4));
  EXPECT_FALSE(Holds(first_, 9));
  EXPECT_EQ(second_.blob->requests(), 1U);
}

TEST_F(PrefetchPlanTest, WhatIsNeededLaterButLiesCloseByComesAlong) {
  const auto plan = std::make_shared<PrefetchPlan>(
      Profile({Need(3, 500), Need(4, 0), Need(5, 900)}, {Need(3, 2)}), scheduler_);
  plan->Attach(second_.layer, "host");
  WaitFor(second_, 3);
  plan->Attach(first_.layer, "host");
  for (const int file : {3, 4, 5}) {
    WaitFor(first_, file);
  }
  EXPECT_EQ(first_.blob->requests(), 1U);
  EXPECT_FALSE(Holds(first_, 2));
  EXPECT_FALSE(Holds(first_, 6));
}

TEST_F(PrefetchPlanTest, HeldChunksCostNothing) {
  const auto plan = std::make_shared<PrefetchPlan>(Profile({Need(1, 0)}, {Need(3, 1)}), scheduler_);
  plan->Attach(first_.layer, "host");
  WaitFor(first_, 1);
  const size_t requests = first_.blob->requests();
  plan->Attach(first_.layer, "host");
  plan->Attach(second_.layer, "host");
  WaitFor(second_, 3);
  EXPECT_EQ(first_.blob->requests(), requests);
}

TEST_F(PrefetchPlanTest, BeginsNothingBeforeAPlaceIsOpen) {
  first_.layer->Close();
  OpenWithoutReader('k', first_);
  std::promise<void> may_open;
  testing_support::NameSource(*first_.layer, "image", "host",
                              [blob = first_.blob, opened = may_open.get_future().share()]() {
                                opened.wait();
                                return blob;
                              });
  const auto plan = std::make_shared<PrefetchPlan>(
      Profile({Need(0, 0), Need(5, 1), Need(9, 2)}, {Need(3, 2)}), scheduler_);
  plan->Attach(first_.layer, "host");
  plan->Attach(second_.layer, "host");
  WaitFor(second_, 3);
  const std::vector<DataRange> first_step = {Need(0, 0).range};
  EXPECT_TRUE(first_.layer->StartAbsent(first_step, oci::FetchClass::kPrefetch, 0))
      << "nobody has begun it";
  may_open.set_value();
  WaitFor(first_, 5);
  WaitFor(first_, 9);
}

}  // namespace
}  // namespace starling::layer
