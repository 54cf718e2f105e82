#include "base/child_program.h"

#include <fcntl.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <signal.h>
#include <unistd.h>

#include <array>
#include <atomic>
#include <thread>

#include "base/io.h"
#include "base/unique_fd.h"

namespace starling {
namespace {

using std::chrono::milliseconds;
using std::chrono::steady_clock;

ChildProgram::Call Shell(const std::string& script) {
  return {.program = "sh", .arguments = {"-c", script}, .environment = {}};
}

ChildProgram::End EndOf(const std::string& script) {
  auto child = ChildProgram::Start(Shell(script));
  EXPECT_TRUE(child.ok()) << child.status();
  return child.ok() ? child->Wait().value_or(ChildProgram::End{}) : ChildProgram::End{};
}

/// What a program writes to its standard output, and its end.
std::pair<std::string, ChildProgram::End> OutputOf(ChildProgram::Call call) {
  std::array<int, 2> ends{};
  EXPECT_EQ(::pipe2(ends.data(), O_CLOEXEC), 0);
  const UniqueFd ours(ends[0]);
  UniqueFd theirs(ends[1]);
  call.output = theirs.get();
  auto child = ChildProgram::Start(call);
  EXPECT_TRUE(child.ok()) << child.status();
  theirs.Reset();
  FdSource source(ours.get());
  const auto output = ReadAll(source, 1 << 20);
  EXPECT_TRUE(output.ok()) << output.status();
  return {std::string(AsText(*output)), child->Wait().value_or(ChildProgram::End{})};
}

TEST(ChildProgram, TellsHowItEnded) {
  EXPECT_EQ(EndOf("exit 0").exit_status, 0);
  EXPECT_EQ(EndOf("exit 7").exit_status, 7);
  const ChildProgram::End killed = EndOf("kill -TERM $$");
  EXPECT_EQ(killed.exit_status, -1);
  EXPECT_EQ(killed.signal, SIGTERM);
}

TEST(ChildProgram, HasTheEnvironmentThatItIsGiven) {
  EXPECT_EQ(::setenv("STARLING_CHILD_TEST", "ours", 1), 0);
  ChildProgram::Call call = Shell("echo ${STARLING_CHILD_TEST-none} ${GIVEN-none}");
  EXPECT_EQ(OutputOf(call).first, "ours none\n");
  call.environment = {"PATH=/bin:/usr/bin", "GIVEN=yes"};
  EXPECT_EQ(OutputOf(call).first, "none yes\n");
}

TEST(ChildProgram, HasNoDescriptorButItsOwn) {
  const int leaked = ::open("/dev/null", O_RDONLY);  // without O_CLOEXEC
  const auto [output, end] =
      OutputOf(Shell("ls /proc/self/fd | wc -l; cat; readlink /proc/self/fd/2"));
  ::close(leaked);
  EXPECT_EQ(output, "4\n/dev/null\n") << "the fourth is that of ls";
}

TEST(ChildProgram, WhatItLeavesBehindEndsWithIt) {
  const auto [output, end] = OutputOf(Shell("exec 2>&-; sleep 1000 >/dev/null & echo $!"));
  EXPECT_EQ(end.exit_status, 0);
  const pid_t left = std::stoi(output);
  // It may be a zombie until its new parent has seen to it.
  while (::kill(left, 0) == 0) {
    std::string state(64, '\0');
    const UniqueFd stat(::open(fmt::format("/proc/{}/stat", left).c_str(), O_RDONLY | O_CLOEXEC));
    state.resize(std::max<ssize_t>(::read(stat.get(), state.data(), state.size()), 0));
    if (state.find(") Z ") != std::string::npos) {
      break;
    }
  }
}

TEST(ChildProgram, WaitsNoLongerThanIsAsked) {
  auto child = ChildProgram::Start(Shell("sleep 1000"));
  ASSERT_TRUE(child.ok()) << child.status();
  EXPECT_FALSE(child->Wait(steady_clock::now() + milliseconds(5)));
  child->Signal(SIGKILL);
  const auto end = child->Wait(steady_clock::now() + std::chrono::hours(1));
  ASSERT_TRUE(end);
  EXPECT_EQ(end->signal, SIGKILL);
}

TEST(ChildProgram, DoesNotOutliveItsOwner) {
  pid_t pid = 0;
  {
    auto child = ChildProgram::Start(Shell("exec sleep 1000"));
    ASSERT_TRUE(child.ok()) << child.status();
    pid = child->pid();
    EXPECT_EQ(::kill(pid, 0), 0);
  }
  EXPECT_EQ(::kill(pid, 0), -1);
  EXPECT_EQ(errno, ESRCH);
}

TEST(ChildProgram, NamesTheProgramThatIsNotThere) {
  const auto child = ChildProgram::Start({.program = "/nowhere/at-all", .arguments = {}});
  EXPECT_EQ(child.status().code(), StatusCode::kNotFound);
  EXPECT_THAT(std::string(MessageOf(child.status())), testing::HasSubstr("/nowhere/at-all"));
}

TEST(NoProgramStarts, HoldsThemBack) {
  std::atomic<bool> is_held = true;
  std::thread starter;
  {
    const NoProgramStarts quiet;
    starter = std::thread([&] {
      EXPECT_TRUE(ChildProgram::Start({.program = "true"}).ok());
      EXPECT_FALSE(is_held);
    });
    std::this_thread::yield();
    is_held = false;
  }
  starter.join();
}

}  // namespace
}  // namespace starling
