#include "base/timer.h"

#include <gtest/gtest.h>

#include <future>
#include <string>

namespace starling {
namespace {

TEST(ThreadTimer, RunsTasksInTheOrderOfTheirTimes) {
  ThreadTimer timer;
  std::string order;
  std::promise<void> done;
  timer.RunAfter(std::chrono::milliseconds(40), [&] {
    order += "b";
    done.set_value();
  });
  timer.RunAfter(std::chrono::milliseconds(1), [&] { order += "a"; });
  done.get_future().wait();
  EXPECT_EQ(order, "ab");
}

TEST(ThreadTimer, DropsWhatIsNotDueAtItsEnd) {
  bool ran = false;
  {
    ThreadTimer timer;
    timer.RunAfter(std::chrono::hours(1), [&ran] { ran = true; });
  }
  EXPECT_FALSE(ran);
}

}  // namespace
}  // namespace starling
