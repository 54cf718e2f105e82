#include "base/executor.h"

#include <gtest/gtest.h>

#include <atomic>

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

}  // namespace
}  // namespace starling
