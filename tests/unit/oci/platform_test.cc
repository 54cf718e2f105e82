#include "oci/platform.h"

#include <gtest/gtest.h>

namespace starling::oci {
namespace {

TEST(Platform, ParsesToContainerdsNormalForm) {
  const struct {
    std::string_view text;
    std::string_view want;
  } cases[] = {
      {"linux/amd64", "linux/amd64"},     {"Linux/x86_64", "linux/amd64"},
      {"linux/x86-64/v1", "linux/amd64"}, {"linux/amd64/v3", "linux/amd64/v3"},
      {"linux/aarch64", "linux/arm64"},   {"linux/arm64/v8", "linux/arm64"},
      {"linux/arm64/8", "linux/arm64"},   {"linux/arm64/v9", "linux/arm64/v9"},
      {"linux/arm", "linux/arm/v7"},      {"linux/arm/6", "linux/arm/v6"},
      {"linux/armhf", "linux/arm/v7"},    {"linux/armel", "linux/arm/v6"},
      {"linux/i386", "linux/386"},        {"macos/arm64", "darwin/arm64"},
      {"windows/amd64", "windows/amd64"}, {"linux/riscv64", "linux/riscv64"},
      {"arm64", "linux/arm64"},           {"armhf", "linux/arm/v7"},
  };
  for (const auto& c : cases) {
    SCOPED_TRACE(c.text);
    const auto platform = Platform::Parse(c.text);
    ASSERT_TRUE(platform.ok()) << platform.status();
    EXPECT_EQ(platform->ToString(), c.want);
  }
  EXPECT_EQ(Platform::Parse("linux")->architecture, Platform::Host().architecture);
}

TEST(Platform, RefusesOtherTexts) {
  for (const std::string_view text :
       {"", "/", "linux/", "/amd64", "a/b/c/d", "linux/am d64", "nonsense", "linux/amd64/"}) {
    SCOPED_TRACE(text);
    EXPECT_EQ(Platform::Parse(text).status().code(), StatusCode::kInvalidArgument);
  }
}

TEST(MatchScore, TellsWhatRunsWhere) {
  const struct {
    std::string_view wanted;
    std::string_view offered;
    bool runs;
  } cases[] = {
      {"linux/amd64", "linux/amd64", true},        {"linux/amd64", "linux/amd64/v2", false},
      {"linux/amd64/v3", "linux/amd64/v2", true},  {"linux/amd64/v3", "linux/amd64", true},
      {"linux/amd64/v2", "linux/amd64/v3", false}, {"linux/amd64", "linux/386", true},
      {"linux/386", "linux/amd64", false},         {"linux/amd64", "windows/amd64", false},
      {"linux/arm64", "linux/arm64/v8", true},     {"linux/arm64", "linux/arm64/v9", false},
      {"linux/arm64/v9", "linux/arm64", true},     {"linux/arm64", "linux/arm/v7", true},
      {"linux/arm64", "linux/arm/v5", true},       {"linux/arm/v7", "linux/arm64", false},
      {"linux/arm/v7", "linux/arm/v6", true},      {"linux/arm/v7", "linux/arm/v5", true},
      {"linux/arm/v6", "linux/arm/v7", false},     {"linux/arm", "linux/armhf", true},
      {"linux/amd64", "linux/arm64", false},       {"linux/s390x", "linux/s390x", true},
      {"linux/ppc64le", "linux/ppc64", false},
  };
  for (const auto& c : cases) {
    SCOPED_TRACE(fmt::format("{} on {}", c.offered, c.wanted));
    EXPECT_EQ(MatchScore(*Platform::Parse(c.wanted), *Platform::Parse(c.offered)) > 0, c.runs);
  }
  const Platform unknown{.os = "unknown", .architecture = "unknown"};
  EXPECT_EQ(MatchScore(unknown, unknown), 0);
}

TEST(MatchScore, PrefersTheNearest) {
  const auto score = [](std::string_view wanted, std::string_view offered) {
    return MatchScore(*Platform::Parse(wanted), *Platform::Parse(offered));
  };
  EXPECT_GT(score("linux/arm/v7", "linux/arm/v7"), score("linux/arm/v7", "linux/arm/v6"));
  EXPECT_GT(score("linux/arm/v7", "linux/arm/v6"), score("linux/arm/v7", "linux/arm/v5"));
  EXPECT_GT(score("linux/amd64/v3", "linux/amd64/v2"), score("linux/amd64/v3", "linux/amd64"));
  EXPECT_GT(score("linux/amd64/v3", "linux/amd64"), score("linux/amd64/v3", "linux/386"));
  EXPECT_GT(score("linux/arm64", "linux/arm64"), score("linux/arm64", "linux/arm/v8"));
  EXPECT_GT(score("linux/arm64", "linux/arm/v8"), score("linux/arm64", "linux/arm/v7"));
}

TEST(MatchScore, AsksForTheVersionOnWindowsOnly) {
  const Platform server{.os = "windows", .architecture = "amd64", .os_version = "10.0.17763.1"};
  const Platform other{.os = "windows", .architecture = "amd64", .os_version = "10.0.20348.1"};
  const Platform any{.os = "windows", .architecture = "amd64"};
  EXPECT_EQ(MatchScore(server, other), 0);
  EXPECT_GT(MatchScore(server, server), 0);
  EXPECT_GT(MatchScore(any, other), 0);
}

TEST(Platform, HostIsNormal) {
  const Platform host = Platform::Host();
  EXPECT_EQ(host.os, "linux");
  EXPECT_EQ(host, host.Normalized());
  EXPECT_GT(MatchScore(host, host), 0);
}

}  // namespace
}  // namespace starling::oci
