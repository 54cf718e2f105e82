#include "base/log.h"

#include <gtest/gtest.h>

namespace starling::log {
namespace {

TEST(ParseLevel, KnowsTheNamesOfLogrus) {
  EXPECT_EQ(*ParseLevel("warn"), Level::kWarning);
  EXPECT_EQ(*ParseLevel("warning"), Level::kWarning);
  EXPECT_EQ(*ParseLevel("debug"), Level::kDebug);
  EXPECT_EQ(ParseLevel("loud").status().code(), StatusCode::kInvalidArgument);
}

TEST(Write, IsOneJsonObjectALine) {
  testing::internal::CaptureStderr();
  Warning("a \"quoted\"\nmessage", {{"remote-snapshot-prepared", "false"}, {"bytes", "\xff"}});
  const std::string line = testing::internal::GetCapturedStderr();
  EXPECT_EQ(line.find("{\"time\":\"20"), 0U) << line;
  EXPECT_NE(line.find("Z\",\"level\":\"warning\",\"msg\":\"a \\\"quoted\\\"\\u000amessage\","
                      "\"remote-snapshot-prepared\":\"false\",\"bytes\":\"\\u00ff\"}\n"),
            std::string::npos)
      << line;
}

TEST(SetLevel, DropsWhatIsBelow) {
  testing::internal::CaptureStderr();
  SetLevel(Level::kError);
  Info("unheard");
  SetLevel(Level::kInfo);
  EXPECT_EQ(testing::internal::GetCapturedStderr(), "");
}

}  // namespace
}  // namespace starling::log
