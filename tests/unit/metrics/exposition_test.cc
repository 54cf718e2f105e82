#include "metrics/exposition.h"

#include <fmt/format.h>
#include <gtest/gtest.h>

#include <string>

namespace starling::metrics {
namespace {

TEST(ExpositionTest, WritesTheTextFormat) {
  Exposition page;
  page.Counter("requests_total", "What was asked.");
  page.Add(3);
  page.Add(18446744073709551615U, {{"class", "a"}, {"code", "2xx"}});
  page.Gauge("here", "What is here.");
  page.Add(0, {{"odd", "back\\slash \"quoted\"\nnext line"}});
  EXPECT_EQ(page.Take(),
            "# HELP requests_total What was asked.\n"
            "# TYPE requests_total counter\n"
            "requests_total 3\n"
            "requests_total{class=\"a\",code=\"2xx\"} 18446744073709551615\n"
            "# HELP here What is here.\n"
            "# TYPE here gauge\n"
            "here{odd=\"back\\\\slash \\\"quoted\\\"\\nnext line\"} 0\n");
}

TEST(ExpositionTest, BucketsOfAHistogramAddUp) {
  DurationHistogram histogram;
  histogram.Observe(std::chrono::microseconds(5));
  histogram.Observe(std::chrono::milliseconds(20));
  histogram.Observe(std::chrono::milliseconds(20));
  histogram.Observe(std::chrono::seconds(200));
  Exposition page;
  page.Histogram("took_seconds", "How long.");
  page.Add(histogram, {{"class", "a"}});
  std::string want = "# HELP took_seconds How long.\n# TYPE took_seconds histogram\n";
  for (const auto& [le, count] : {std::pair{"1e-05", 1},
                                  {"3e-05", 1},
                                  {"0.0001", 1},
                                  {"0.0003", 1},
                                  {"0.001", 1},
                                  {"0.003", 1},
                                  {"0.01", 1},
                                  {"0.03", 3},
                                  {"0.1", 3},
                                  {"0.3", 3},
                                  {"1", 3},
                                  {"3", 3},
                                  {"10", 3},
                                  {"30", 3},
                                  {"100", 3},
                                  {"+Inf", 4}}) {
    want += fmt::format("took_seconds_bucket{{class=\"a\",le=\"{}\"}} {}\n", le, count);
  }
  want +=
      "took_seconds_sum{class=\"a\"} 200.040005\n"
      "took_seconds_count{class=\"a\"} 4\n";
  EXPECT_EQ(page.Take(), want);
}

}  // namespace
}  // namespace starling::metrics
