#include "layer/container_waits.h"

#include <gtest/gtest.h>

#include "tests/support/manual_executor.h"

namespace starling::layer {
namespace {

using std::chrono::milliseconds;

class ContainerWaitsTest : public testing::Test {
 protected:
  ~ContainerWaitsTest() override { waits_->Close(); }

  static SlowRead Took(milliseconds network, bool failed = false) {
    return {.layer = {},
            .range = {},
            .times = {.network = network},
            .ended = {},
            .failed = failed,
            .container = {}};
  }
  /// Threads 1, 2, ... are in the containers "c1", "c2", ...; from 1000 on in none.
  static std::string ContainerOf(pid_t thread) {
    return thread < 1000 ? "c" + std::to_string(thread) : "";
  }

  testing_support::ManualExecutor executor_;
  std::shared_ptr<ContainerWaits> waits_ = std::make_shared<ContainerWaits>(executor_, ContainerOf);
};

TEST_F(ContainerWaitsTest, CountsByContainer) {
  const auto first = waits_->OnWaits(1);
  const auto second = waits_->OnWaits(2);
  const auto none = waits_->OnWaits(1000);
  EXPECT_EQ(first->container(), "") << "not known yet";
  executor_.RunAll();
  EXPECT_EQ(first->container(), "c1");
  waits_->OnWaited(first, Took(milliseconds(10)));
  waits_->OnWaited(second, Took(milliseconds(30), /*failed=*/true));
  waits_->OnWaited(none, Took(milliseconds(40)));
  // One that ends before its question was asked.
  waits_->OnWaited(waits_->OnWaits(1), Took(milliseconds(5)));
  EXPECT_TRUE(waits_->List().empty());
  executor_.RunAll();
  EXPECT_EQ(
      waits_->List(),
      (std::vector<ContainerStalls>{
          {.container = "c2", .reads = 1, .failed = 1, .times = {.network = milliseconds(30)}},
          {.container = "c1", .reads = 2, .times = {.network = milliseconds(15)}}}));
}

TEST_F(ContainerWaitsTest, AsksForNobodyWhenNobodyIsKnown) {
  EXPECT_EQ(waits_->OnWaits(0), nullptr);
  waits_->OnWaited(nullptr, Took(milliseconds(1)));
  executor_.RunAll();
  EXPECT_TRUE(waits_->List().empty());
}

TEST_F(ContainerWaitsTest, KeepsThoseThatWaitedLast) {
  for (pid_t thread = 1; thread <= 300; ++thread) {
    waits_->OnWaited(waits_->OnWaits(thread), Took(milliseconds(1)));
    executor_.RunAll();
    waits_->OnWaited(waits_->OnWaits(1), Took(milliseconds(1)));
    executor_.RunAll();
  }
  const std::vector<ContainerStalls> all = waits_->List();
  ASSERT_EQ(all.size(), ContainerWaits::kMaxContainers);
  EXPECT_EQ(all[0].container, "c1");
  EXPECT_EQ(all[0].reads, 301U);
  for (const ContainerStalls& one : all) {
    EXPECT_TRUE(one.container == "c1" || std::stoi(one.container.substr(1)) > 45) << one.container;
  }
}

TEST_F(ContainerWaitsTest, AsksNoMoreThanItCanAnswer) {
  for (size_t i = 0; i < ContainerWaits::kMaxQuestions; ++i) {
    EXPECT_NE(waits_->OnWaits(1), nullptr) << i;
  }
  EXPECT_EQ(waits_->OnWaits(1), nullptr);
  executor_.RunAll();
  EXPECT_NE(waits_->OnWaits(1), nullptr);
}

TEST_F(ContainerWaitsTest, NothingIsAskedAfterTheEnd) {
  const auto asker = waits_->OnWaits(1);
  executor_.RunAll();
  waits_->Close();
  EXPECT_EQ(waits_->OnWaits(1), nullptr);
  waits_->OnWaited(asker, Took(milliseconds(1)));
  executor_.RunAll();
  EXPECT_TRUE(waits_->List().empty());
}

}  // namespace
}  // namespace starling::layer
