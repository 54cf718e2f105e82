#include "credentials/aws_config.h"

#include <gtest/gtest.h>

namespace starling::credentials {
namespace {

std::string Show(const AwsProfiles& profiles) {
  std::string text;
  for (const auto& [name, profile] : profiles) {
    text += fmt::format("[{}]", name);
    for (const auto& [key, value] : profile) {
      text += fmt::format(" {}={}", key, value);
    }
    text += "\n";
  }
  return text;
}

TEST(ReadAwsProfiles, ReadsBothFiles) {
  AwsProfiles profiles;
  ASSERT_TRUE(ReadAwsProfiles("# comment\n"
                              "[default]\n"
                              "region = eu-west-1 ; the office\n"
                              "s3 =\n"
                              "  max_concurrent_requests = 20\n"
                              "aws_secret_access_key = from#config\r\n"
                              "\n"
                              "[profile dev]\n"
                              "Role_ARN=arn:aws:iam::1:role/r\n"
                              "[sso-session corporate]\n"
                              "sso_region = x\n"
                              "[profile]\n"
                              "lost = y\n",
                              AwsFile::kConfig, profiles)
                  .ok());
  ASSERT_TRUE(ReadAwsProfiles("[default]\naws_access_key_id = A\naws_secret_access_key = S\n"
                              "[other]\naws_access_key_id = B",
                              AwsFile::kCredentials, profiles)
                  .ok());
  EXPECT_EQ(Show(profiles),
            "[default] aws_access_key_id=A aws_secret_access_key=S region=eu-west-1 s3=\n"
            "[dev] role_arn=arn:aws:iam::1:role/r\n"
            "[other] aws_access_key_id=B\n");
}

TEST(ReadAwsProfiles, NamesTheLineAndNeverItsText) {
  const struct {
    const char* text;
    const char* want;
  } cases[] = {
      {"[default\n", "line 1: a section without ]"},
      {"[default]\n\nhunter2\n", "line 3: neither a section nor NAME = VALUE"},
      {"[default]\n=hunter2\n", "line 2: neither a section nor NAME = VALUE"},
      {"key = hunter2\n", "line 1: a setting before the first section"},
  };
  for (const auto& c : cases) {
    SCOPED_TRACE(c.text);
    AwsProfiles profiles;
    const Status status = ReadAwsProfiles(c.text, AwsFile::kConfig, profiles);
    EXPECT_EQ(status.code(), StatusCode::kInvalidArgument);
    EXPECT_EQ(MessageOf(status), c.want);
  }
  AwsProfiles profiles;
  EXPECT_FALSE(ReadAwsProfiles(std::string((1 << 20) + 1, '\n'), AwsFile::kConfig, profiles).ok());
}

}  // namespace
}  // namespace starling::credentials
