#include "layer/layer_context.h"

#include <gtest/gtest.h>

#include <string>

#include "tests/support/manual_clock.h"
#include "tests/support/manual_executor.h"

namespace starling::layer {
namespace {

using Urgency = LayerContext::Urgency;

void CountOne(FetchCounters& counters) { ++counters.served_bytes; }

TEST(LayerContext, WhatIsAwaitedGoesFirst) {
  testing_support::ManualExecutor cpu;
  FetchCounters counters;
  LayerContext context(cpu, counters, nullptr);
  std::string order;
  EXPECT_TRUE(context.Post(Urgency::kWelcome, [&] { order += "welcome "; }));
  EXPECT_TRUE(context.Post(Urgency::kAwaited, [&] { order += "awaited "; }));
  EXPECT_EQ(order, "") << "not on the caller's thread";
  cpu.RunAll();
  EXPECT_EQ(order, "awaited welcome ");
}

TEST(LayerContext, CountsUntilAllHaveTheirAnswer) {
  testing_support::ManualExecutor cpu;
  FetchCounters counters;
  LayerContext context(cpu, counters, nullptr);
  EXPECT_TRUE(context.Count(CountOne));
  context.Close();
  EXPECT_FALSE(context.Post(Urgency::kAwaited, [] { FAIL() << "posted after Close"; }));
  EXPECT_FALSE(context.Count(CountOne)) << "counted, but nobody waits";
  EXPECT_EQ(counters.served_bytes, 2U);
  context.EndCounting();
  EXPECT_FALSE(context.Count(CountOne));
  EXPECT_EQ(counters.served_bytes, 2U);
  cpu.RunAll();
}

TEST(LayerContext, ItsTimeIsTheSchedulers) {
  testing_support::ManualExecutor cpu;
  testing_support::ManualClock clock;
  testing_support::ManualTimer timer(clock);
  FetchCounters counters;
  const auto scheduler =
      FetchScheduler::Make({}, {.clock = clock, .executor = cpu, .timer = timer});
  const LayerContext context(cpu, counters, scheduler);
  const auto before = context.Now();
  clock.Advance(std::chrono::hours(5));
  EXPECT_EQ(context.Now() - before, std::chrono::hours(5));
  EXPECT_EQ(context.scheduler(), scheduler.get());
  scheduler->Close();
}

}  // namespace
}  // namespace starling::layer
