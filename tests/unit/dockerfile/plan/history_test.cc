#include "dockerfile/plan/history.h"

#include <gtest/gtest.h>

namespace starling::dockerfile::plan {
namespace {

using std::chrono_literals::operator""ns;
using std::chrono_literals::operator""us;
using std::chrono_literals::operator""ms;
using std::chrono_literals::operator""s;
using std::chrono_literals::operator""min;
using std::chrono_literals::operator""h;

TEST(QuotedList, WritesWordsAsGoDoes) {
  const std::pair<std::vector<std::string>, const char*> cases[] = {
      {{}, "[]"},
      {{"a"}, R"(["a"])"},
      {{"a", "b c"}, R"(["a" "b c"])"},
      {{"say \"hi\"", "back\\slash"}, R"(["say \"hi\"" "back\\slash"])"},
      {{"line\nend\ttab"}, R"(["line\nend\ttab"])"},
      {{"\x01\x7f"}, R"(["\x01\x7f"])"},
      {{"ünï"}, R"(["ünï"])"},
      {{"\xff"}, R"(["\xff"])"}};
  for (const auto& [words, want] : cases) {
    EXPECT_EQ(QuotedList(words), want);
  }
}

TEST(PlainList, WritesWordsWithBlanks) {
  EXPECT_EQ(PlainList(std::vector<std::string>{"/bin/sh", "-c"}), "[/bin/sh -c]");
}

TEST(DurationText, WritesDurationsAsGoDoes) {
  const std::pair<std::chrono::nanoseconds, const char*> cases[] = {{0ns, "0s"},
                                                                    {1ns, "1ns"},
                                                                    {1500ns, "1.5µs"},
                                                                    {100ms, "100ms"},
                                                                    {1500ms, "1.5s"},
                                                                    {30s, "30s"},
                                                                    {90s, "1m30s"},
                                                                    {1h, "1h0m0s"},
                                                                    {1h + 30min, "1h30m0s"},
                                                                    {61min + 1ms, "1h1m0.001s"}};
  for (const auto& [duration, want] : cases) {
    EXPECT_EQ(DurationText(duration), want);
  }
}

TEST(HealthText, WritesTheStruct) {
  EXPECT_EQ(HealthText({.test = {"CMD", "a"}, .interval = 5s, .retries = 3}),
            "{Test:[CMD a] Interval:5s Timeout:0s StartPeriod:0s StartInterval:0s Retries:3}");
}

}  // namespace
}  // namespace starling::dockerfile::plan
