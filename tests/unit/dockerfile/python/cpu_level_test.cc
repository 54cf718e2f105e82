#include "dockerfile/python/cpu_level.h"

#include <gtest/gtest.h>

namespace starling::dockerfile::python {
namespace {

constexpr const char* kV1 = "fpu cx8 cmov mmx fxsr sse sse2 syscall lm";
constexpr const char* kV2 = " cx16 lahf_lm popcnt pni sse4_1 sse4_2 ssse3";
constexpr const char* kV3 = " avx avx2 bmi1 bmi2 f16c fma abm movbe xsave";
constexpr const char* kV4 = " avx512f avx512bw avx512cd avx512dq avx512vl";

std::string Processor(const std::string& flags) {
  return "processor\t: 0\nvendor_id\t: GenuineIntel\nflags\t\t: " + flags + "\nbugs\t\t: fma\n\n";
}

TEST(CpuLevelOf, IsWhatEveryProcessorHas) {
  const std::string v1 = kV1;
  const std::string v2 = v1 + kV2;
  const std::string v3 = v2 + kV3;
  const std::string v4 = v3 + kV4;
  struct Case {
    const char* name;
    std::string text;
    CpuLevel want;
  };
  const Case cases[] = {{"v1", Processor(v1), 1},
                        {"v2", Processor(v2), 2},
                        {"v3", Processor(v3), 3},
                        {"v4", Processor(v4), 4},
                        {"v4 without v3", Processor(v2 + kV4), 2},
                        {"a name that begins like one", Processor(v1 + kV2 + "x"), 1},
                        {"several", Processor(v3) + Processor(v3), 3},
                        {"one that has less", Processor(v3) + Processor(v2) + Processor(v4), 2},
                        {"another machine", "processor\t: 0\nFeatures\t: fp asimd\n", 1},
                        {"nothing", "", 1}};
  for (const Case& c : cases) {
    EXPECT_EQ(CpuLevelOf(c.text), c.want) << c.name;
  }
}

TEST(HostCpuLevel, IsALevel) {
  const auto level = HostCpuLevel();
  ASSERT_TRUE(level.ok()) << level.status();
  EXPECT_GE(*level, kBaselineCpu);
  EXPECT_LE(*level, kHighestCpu);
}

TEST(ParseCpuLevel, ReadsWords) {
  EXPECT_EQ(*ParseCpuLevel("baseline", 3), 1);
  EXPECT_EQ(*ParseCpuLevel("native", 3), 3);
  EXPECT_EQ(*ParseCpuLevel("v1", 3), 1);
  EXPECT_EQ(*ParseCpuLevel("v3", 3), 3);
  EXPECT_EQ(*ParseCpuLevel("v4", std::nullopt), 4);
  EXPECT_EQ(*ParseCpuLevel("native", std::nullopt), 1);
  for (const char* wrong : {"", "v0", "v5", "3", "v33", "x86-64-v3"}) {
    EXPECT_EQ(ParseCpuLevel(wrong, 3).status().code(), StatusCode::kInvalidArgument) << wrong;
  }
}

TEST(ParseCpuLevel, RefusesWhatTheProcessorCannotRun) {
  const Status refused = ParseCpuLevel("v3", 2).status();
  EXPECT_EQ(refused.code(), StatusCode::kFailedPrecondition);
  EXPECT_EQ(MessageOf(refused),
            "this machine's processor cannot run v3, only v2; take native, or build on another "
            "machine");
}

}  // namespace
}  // namespace starling::dockerfile::python
