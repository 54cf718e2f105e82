#include "credentials/program.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <sys/mman.h>

#include "base/unique_fd.h"
#include "tests/unit/credentials/helper_programs.h"

namespace starling::credentials {
namespace {

class Program : public HelperPrograms {
 protected:
  StatusOr<ProgramAnswer> Run(const std::string& script, ProgramCall call = {}) {
    Write("program", "#!/bin/sh\n" + script + "\n", 0700);
    call.program = (directory_->path() / "program").string();
    if (call.timeout.count() == 0) call.timeout = std::chrono::seconds(20);
    return RunProgram(call);
  }
};

TEST_F(Program, GetsArgumentsVariablesAndInput) {
  ::setenv("STARLING_OLD", "kept", 1);
  ::setenv("STARLING_NEW", "replaced", 1);
  const auto answer =
      Run(R"sh(echo "$1,$2,$STARLING_OLD,$STARLING_NEW,$(cat)"; exit 3)sh",
          {.arguments = {"a", "b c"}, .variables = {{"STARLING_NEW", "given"}}, .input = "typed"});
  ::unsetenv("STARLING_OLD");
  ::unsetenv("STARLING_NEW");
  ASSERT_TRUE(answer.ok()) << answer.status();
  EXPECT_EQ(answer->output, "a,b c,kept,given,typed\n");
  EXPECT_EQ(answer->exit_status, 3);
}

TEST_F(Program, MayTakeMoreThanABufferHolds) {
  const auto answer =
      Run("head -c 500000 | wc -c; cat | wc -c", {.input = std::string(1'000'000, 'x')});
  ASSERT_TRUE(answer.ok()) << answer.status();
  EXPECT_EQ(answer->output, "500000\n500000\n");
}

TEST_F(Program, MayIgnoreItsInput) {
  const auto answer = Run("exec <&-; echo done", {.input = std::string(1'000'000, 'x')});
  ASSERT_TRUE(answer.ok()) << answer.status();
  EXPECT_EQ(answer->output, "done\n");
}

TEST_F(Program, IsBounded) {
  const std::chrono::milliseconds soon(300);
  EXPECT_EQ(Run("sleep 1000", {.timeout = soon}).status().code(), StatusCode::kDeadlineExceeded);
  EXPECT_EQ(Run("sleep 1000 & echo", {.timeout = soon}).status().code(),
            StatusCode::kDeadlineExceeded);
  EXPECT_EQ(Run("exec >&-; sleep 1000", {.timeout = soon})->exit_status, -1);
  EXPECT_EQ(Run("kill -9 $$")->exit_status, -1);
  EXPECT_EQ(Run("cat /dev/zero").status().code(), StatusCode::kResourceExhausted);
  EXPECT_EQ(RunProgram({.program = "/no/such/program", .timeout = soon}).status().code(),
            StatusCode::kNotFound);
}

TEST_F(Program, GetsNoDescriptorButItsOwn) {
  const UniqueFd strangers(::memfd_create("stranger", 0));
  EXPECT_EQ(Run("ls -l /proc/$$/fd | grep -c stranger")->output, "0\n");
}

}  // namespace
}  // namespace starling::credentials
