#include "credentials/credential_helper.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "base/file_system.h"
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

TEST_F(CredentialHelper, StoresAndErases) {
  WriteHelper("notes", fmt::format("cat >{}/$1", directory_->path().string()));
  WriteHelper("fails", "echo 'the wallet is locked'; exit 1");
  WriteHelper("none", "echo 'credentials not found in native keychain'; exit 1");
  const std::chrono::seconds patience(20);
  const Credentials login{.username = "me", .password = "\"hunter2\""};
  const auto noted = [this](const char* word) {
    return std::string(AsText(*ReadFile(RealFileSystem(), directory_->path() / word, 1000)));
  };
  EXPECT_TRUE(StoreInCredentialHelper("notes", "ghcr.io", login, patience).ok());
  EXPECT_EQ(noted("store"), R"({"ServerURL":"ghcr.io","Username":"me","Secret":"\"hunter2\""})");
  EXPECT_TRUE(EraseFromCredentialHelper("notes", "ghcr.io", patience).ok());
  EXPECT_EQ(noted("erase"), "ghcr.io");
  EXPECT_TRUE(EraseFromCredentialHelper("none", "ghcr.io", patience).ok());
  EXPECT_THAT(Describe(StoreInCredentialHelper("fails", "ghcr.io", login, patience)),
              testing::AllOf(HasSubstr("wallet is locked"), testing::Not(HasSubstr("hunter2"))));
}

}  // namespace
}  // namespace starling::credentials
