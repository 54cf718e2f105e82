#include "dockerfile/syntax/values.h"

#include <gtest/gtest.h>

namespace starling::dockerfile::syntax {
namespace {

using std::chrono::nanoseconds;

TEST(ParseDuration, ReadsGoDurations) {
  const struct {
    std::string_view text;
    int64_t want;
  } cases[] = {{"0", 0},
               {"30s", 30'000'000'000},
               {"1m30s", 90'000'000'000},
               {"1.5h", 5'400'000'000'000},
               {"500ms", 500'000'000},
               {"10us", 10'000},
               {"7µs", 7'000},
               {"1ns", 1},
               {"-1s", -1'000'000'000}};
  for (const auto& c : cases) {
    EXPECT_EQ(*ParseDuration(c.text), nanoseconds(c.want)) << c.text;
  }
  for (const std::string_view bad :
       {"", "5", "s", "1x", "1s2", "1..5s", ".s", "9999999999h", "1 s"}) {
    EXPECT_FALSE(ParseDuration(bad).ok()) << bad;
  }
}

TEST(ParseSize, ReadsFactorsOf1024) {
  EXPECT_EQ(*ParseSize("1024"), 1024U);
  EXPECT_EQ(*ParseSize("64m"), 64U << 20U);
  EXPECT_EQ(*ParseSize("64MB"), 64U << 20U);
  EXPECT_EQ(*ParseSize("1.5GiB"), 3ULL << 29U);
  EXPECT_EQ(*ParseSize("5b"), 5U);
  for (const std::string_view bad : {"", "m", "5x", "1mm", "-1", "999999999p", "1..2m"}) {
    EXPECT_FALSE(ParseSize(bad).ok()) << bad;
  }
}

TEST(ParseBool, ReadsGoBooleans) {
  EXPECT_TRUE(*ParseBool("T"));
  EXPECT_FALSE(*ParseBool("False"));
  EXPECT_FALSE(ParseBool("yes").ok());
}

TEST(ParseModeChange, ReadsOctalAndSymbolic) {
  EXPECT_EQ(ParseModeChange("0755")->octal, 0755U);
  EXPECT_EQ(ParseModeChange("7777")->octal, 07777U);
  const auto symbolic = ParseModeChange("u=rwX,go-w+s,+x,g=u");
  ASSERT_TRUE(symbolic.ok());
  EXPECT_FALSE(symbolic->octal);
  ASSERT_EQ(symbolic->clauses.size(), 5U);
  EXPECT_EQ(symbolic->clauses[0].permissions, "rwX");
  EXPECT_EQ(symbolic->clauses[2].who, "go");
  EXPECT_EQ(symbolic->clauses[2].operation, '+');
  EXPECT_EQ(symbolic->clauses[3].who, "");
  EXPECT_EQ(symbolic->clauses[4].permissions, "u");
  for (const std::string_view bad : {"", "64a", "10000", "888", "u", "u=rwx,", "u=z", "=r w"}) {
    EXPECT_FALSE(ParseModeChange(bad).ok()) << bad;
  }
}

TEST(ParseSignal, ReadsNamesAndNumbers) {
  const struct {
    std::string_view text;
    int want;
  } cases[] = {{"SIGTERM", 15}, {"term", 15},       {"sigkill", 9},  {"37", 37},
               {"RTMIN", 34},   {"SIGRTMIN+3", 37}, {"RTMAX-4", 60}, {"RTMAX", 64}};
  for (const auto& c : cases) {
    EXPECT_EQ(*ParseSignal(c.text), c.want) << c.text;
  }
  for (const std::string_view bad :
       {"", "SIG", "0", "65", "NOPE", "RTMIN-1", "RTMIN+31", "RTMIN+x", "-9"}) {
    EXPECT_FALSE(ParseSignal(bad).ok()) << bad;
  }
}

TEST(ParsePort, ReadsPortsAndRanges) {
  const struct {
    std::string_view text;
    uint16_t first, last;
    std::string_view protocol;
    bool host, odd;
  } cases[] = {{"80", 80, 80, "tcp", false, false},
               {"80-82/udp", 80, 82, "udp", false, false},
               {"53/UDP", 53, 53, "udp", false, true},
               {"8080:80", 80, 80, "tcp", true, false},
               {"127.0.0.1:80:81/sctp", 81, 81, "sctp", true, false},
               {"80/", 80, 80, "tcp", false, false}};
  for (const auto& c : cases) {
    SCOPED_TRACE(c.text);
    const auto port = ParsePort(c.text);
    ASSERT_TRUE(port.ok()) << port.status();
    EXPECT_EQ(port->first, c.first);
    EXPECT_EQ(port->last, c.last);
    EXPECT_EQ(port->protocol, c.protocol);
    EXPECT_EQ(port->has_host_part, c.host);
    EXPECT_EQ(port->odd_protocol_case, c.odd);
  }
  for (const std::string_view bad :
       {"", "/tcp", "80/http", "65536", "90-80", "80-", "a", "1.2.3.4:"}) {
    EXPECT_FALSE(ParsePort(bad).ok()) << bad;
  }
}

}  // namespace
}  // namespace starling::dockerfile::syntax
