#include "credentials/credential_helper.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <sys/mman.h>

#include "base/unique_fd.h"
#include "tests/unit/credentials/helper_programs.h"

namespace starling::credentials {
namespace {

using registry::Credentials;
using testing::HasSubstr;
using CredentialHelper = HelperPrograms;

TEST_F(CredentialHelper, MayMisbehave) {
  WriteHelper("token", R"(echo '{"Username":"<token>","Secret":"id"}')");
  WriteHelper("none", "echo 'credentials not found in native keychain'; exit 1");
  WriteHelper("fails", "echo 'the wallet is locked'; exit 1");
  WriteHelper("hangs", "sleep 1000");
  WriteHelper("leaves-a-child", "sleep 1000 & echo '{}'");
  WriteHelper("floods", "cat /dev/zero");
  WriteHelper("silent", "exit 0");
  const auto ask = [](const char* name, int milliseconds) {
    return AskCredentialHelper(name, "a", std::chrono::milliseconds(milliseconds));
  };
  EXPECT_EQ(ask("token", 20000)->identity_token, "id");
  EXPECT_TRUE(ask("none", 20000)->anonymous());
  EXPECT_THAT(Describe(ask("fails", 20000).status()),
              testing::AllOf(HasSubstr("docker-credential-fails"), HasSubstr("wallet is locked")));
  EXPECT_EQ(ask("hangs", 100).status().code(), StatusCode::kDeadlineExceeded);
  EXPECT_EQ(ask("leaves-a-child", 300).status().code(), StatusCode::kDeadlineExceeded);
  EXPECT_EQ(ask("floods", 20000).status().code(), StatusCode::kResourceExhausted);
  EXPECT_EQ(ask("silent", 20000).status().code(), StatusCode::kUnauthenticated);
  EXPECT_EQ(ask("missing", 20000).status().code(), StatusCode::kNotFound);
  for (const char* name : {"", "../x", "a b", "a;b", "$(x)"}) {
    EXPECT_EQ(ask(name, 20000).status().code(), StatusCode::kInvalidArgument) << name;
  }
}

TEST_F(CredentialHelper, GetsNoDescriptorButItsOwn) {
  const UniqueFd strangers(::memfd_create("stranger", 0));
  WriteHelper("lists", R"(found=$(ls -l /proc/$$/fd | grep -c stranger)
                          printf '{"Username":"u","Secret":"%s"}' "$found")");
  const auto answer = AskCredentialHelper("lists", "a", std::chrono::seconds(20));
  ASSERT_TRUE(answer.ok()) << answer.status();
  EXPECT_EQ(answer->password, "0");
}

}  // namespace
}  // namespace starling::credentials
