#include "credentials/environment.h"

#include <gtest/gtest.h>

#include <cstdlib>

namespace starling::credentials {
namespace {

TEST(Environment, IsTheProcesssOrWhatIsGiven) {
  ::setenv("STARLING_TEST_VARIABLE", "a=b", 1);
  EXPECT_EQ(Environment::OfProcess().Get("STARLING_TEST_VARIABLE"), "a=b");
  ::unsetenv("STARLING_TEST_VARIABLE");
  EXPECT_FALSE(Environment::OfProcess().Has("STARLING_TEST_VARIABLE"));
  const Environment given({{"A", "1"}, {"EMPTY", ""}});
  EXPECT_EQ(given.Get("A"), "1");
  EXPECT_FALSE(given.Has("EMPTY"));
  EXPECT_EQ(given.With("B", "2").Get("B"), "2");
  EXPECT_FALSE(given.Has("B"));
  EXPECT_EQ(given.Home(), "/root");
  EXPECT_EQ(given.With("HOME", "/home/me").Home(), "/home/me");
}

}  // namespace
}  // namespace starling::credentials
