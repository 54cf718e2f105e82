#include "base/executor.h"

#include <gtest/gtest.h>

#include <atomic>
#include <future>
#include <memory>
#include <string>
#include <thread>
#include <vector>

namespace starling {
namespace {

TEST(ThreadPool, RunsAllThatWasPostedBeforeItsEnd) {
  std::atomic<int> done = 0;
  {
    ThreadPool pool("test", 3);
    for (int i = 0; i < 100; ++i) {
      pool.Post([&done] { ++done; });
    }
  }
  EXPECT_EQ(done, 100);
}

TEST(ThreadPool, TasksMayPostOthers) {
  std::atomic<int> done = 0;
  {
    ThreadPool pool("test", 1);
    pool.Post([&] { pool.Post([&done] { ++done; }); });
  }
  EXPECT_EQ(done, 1);
}

TEST(ThreadPool, RunsUrgentTasksFirst) {
  std::vector<std::string> order;
  {
    ThreadPool pool("test", 1);
    std::promise<void> go;
    pool.Post([started = go.get_future().share()] { started.wait(); });
    pool.Post([&order] { order.emplace_back("first"); });
    pool.Post([&order] { order.emplace_back("second"); });
    pool.PostUrgent([&order] { order.emplace_back("urgent"); });
    go.set_value();
  }
  EXPECT_EQ(order, (std::vector<std::string>{"urgent", "first", "second"}));
}

// ThreadSanitizer sees it when Post touches the pool after its task could run.
TEST(ThreadPool, MayEndAsSoonAsAPostedTaskRuns) {
  for (int round = 0; round < 100; ++round) {
    auto pool = std::make_unique<ThreadPool>("test", 1);
    std::promise<void> ran;
    std::thread poster([&pool = *pool, &ran] { pool.Post([&ran] { ran.set_value(); }); });
    ran.get_future().wait();
    pool.reset();
    poster.join();
  }
}

}  // namespace
}  // namespace starling
