#include "runc/runner.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <sys/stat.h>
#include <termios.h>

#include <fstream>
#include <thread>

#include "base/temp_dir.h"
#include "tests/support/read_whole.h"
#include "tests/support/session_on_terminal.h"

namespace starling::runc {
namespace {

using testing::HasSubstr;
using testing_support::SessionOnTerminal;

/// A runner whose runc is a shell script: what it is asked, and what becomes of its answers.
class RunnerTest : public testing::Test {
 protected:
  void SetUp() override {
    auto directory = TempDir::Make("/tmp", "runner-");
    ASSERT_TRUE(directory.ok()) << directory.status();
    directory_.emplace(*std::move(directory));
  }
  std::filesystem::path Path(const std::string& name) const { return directory_->path() / name; }
  /// `on_run` runs with $bundle, $log and $id. Everything that runc is asked is in "calls".
  Runner MakeRunner(const std::string& on_run) {
    std::ofstream script(Path("runc"));
    script << "#!/bin/sh\nroot=$2; shift 2\n"
           << "if [ \"$1\" = --log ]; then log=$2; shift 4; fi\n"
           << "echo \"$@\" >> " << Path("calls").native() << "\n"
           << "case $1 in\n run) bundle=$3; id=$4; " << on_run << " ;;\n"
           << " list) cat " << Path("list").native() << " ;;\nesac\n";
    script.close();
    EXPECT_EQ(::chmod(Path("runc").c_str(), 0755), 0);
    return Runner({.program = Path("runc"), .state_directory = Path("state")});
  }
  StatusOr<int> RunStep(const Runner& runner, const std::stop_token& stop = {}) {
    return runner.Run(
        "step-1", {.root = "/root", .arguments = {"true"}},
        [this](Stream stream, std::string_view text) {
          (stream == Stream::kOutput ? output_ : error_) += text;
          if (on_output_) {
            on_output_();
          }
        },
        stop);
  }
  std::string Calls() const { return testing_support::ReadWhole(Path("calls")); }

  std::optional<TempDir> directory_;
  std::string output_;
  std::string error_;
  std::function<void()> on_output_;
};

TEST_F(RunnerTest, HandsOnOutputAndStatus) {
  const Runner runner = MakeRunner("cat $bundle/config.json; echo oh >&2; exit 7");
  EXPECT_EQ(RunStep(runner).value(), 7);
  EXPECT_THAT(output_, HasSubstr(R"("path": "/root")"));
  EXPECT_EQ(error_, "oh\n");
  EXPECT_EQ(Calls(),
            fmt::format("run --bundle {} step-1\n", Path("state/bundles/step-1").native()));
  EXPECT_FALSE(std::filesystem::exists(Path("state/bundles/step-1")));
}

TEST_F(RunnerTest, MuchOutputDoesNotBlock) {
  const Runner runner =
      MakeRunner("head -c 3000000 /dev/zero; head -c 3000000 /dev/zero >&2; exit 0");
  EXPECT_EQ(RunStep(runner).value(), 0);
  EXPECT_EQ(output_.size(), 3'000'000U);
  EXPECT_EQ(error_.size(), 3'000'000U);
}

TEST_F(RunnerTest, ItsOwnErrorsAreNotTheCommands) {
  const Runner runner = MakeRunner(
      R"sh(echo '{"level":"warning","msg":"no matter"}' >> $log
           echo '{"level":"error","msg":"exec: \"tru\": not found"}' >> $log; exit 1)sh");
  const auto status = RunStep(runner).status();
  EXPECT_EQ(status.code(), StatusCode::kFailedPrecondition);
  EXPECT_THAT(std::string(MessageOf(status)), HasSubstr("exec: \"tru\": not found"));
  EXPECT_THAT(Calls(), HasSubstr("delete --force step-1"));
}

TEST_F(RunnerTest, AStopEndsAndRemovesTheContainer) {
  const Runner runner = MakeRunner("echo started; exec sleep 1000");
  std::stop_source stop;
  on_output_ = [&stop] { stop.request_stop(); };
  EXPECT_EQ(RunStep(runner, stop.get_token()).status().code(), StatusCode::kCancelled);
  EXPECT_THAT(Calls(), HasSubstr("delete --force step-1"));
  EXPECT_FALSE(std::filesystem::exists(Path("state/bundles/step-1")));
}

TEST_F(RunnerTest, AStoppedOneDoesNotStart) {
  const Runner runner = MakeRunner("exec sleep 1000");
  std::stop_source stop;
  stop.request_stop();
  EXPECT_EQ(RunStep(runner, stop.get_token()).status().code(), StatusCode::kCancelled);
}

TEST_F(RunnerTest, ARuncThatIsKilledIsAnError) {
  const Runner runner = MakeRunner("kill -9 $$");
  const auto status = RunStep(runner).status();
  EXPECT_EQ(status.code(), StatusCode::kAborted);
  EXPECT_THAT(std::string(MessageOf(status)), HasSubstr("signal 9"));
}

TEST_F(RunnerTest, SaysThatThereIsNoRunc) {
  const Runner runner({.program = Path("nothing"), .state_directory = Path("state")});
  const auto status = RunStep(runner).status();
  EXPECT_EQ(status.code(), StatusCode::kNotFound);
  EXPECT_THAT(std::string(MessageOf(status)), HasSubstr("nothing"));
}

TEST_F(RunnerTest, ACommandCanHaveTheTerminal) {
  const Runner runner =
      MakeRunner(R"(grep '"terminal"' $bundle/config.json; stty raw -echo; printf 'ready'; )"
                 R"(head -c 3 >$root/typed; exit 6)");
  std::filesystem::create_directories(Path("state/containers"));
  SessionOnTerminal session([&] {
    const pid_t foreground = ::tcgetpgrp(0);
    const auto ended = runner.RunOnTerminal("shell", {.arguments = {"sh"}}, 0, {});
    termios attributes{};
    ::tcgetattr(0, &attributes);
    const bool is_as_before =
        (attributes.c_lflag & (ICANON | ECHO)) == (ICANON | ECHO) && ::tcgetpgrp(0) == foreground;
    return ended.ok() && is_as_before ? *ended : 99;
  });
  EXPECT_THAT(session.ShownUntil("ready"), HasSubstr(R"("terminal": true)"));
  session.Type("ab\x03");  // no signal there, but a byte for the command
  EXPECT_EQ(session.Wait(), 6);
  EXPECT_EQ(testing_support::ReadWhole(Path("state/containers/typed")), "ab\x03");
  EXPECT_FALSE(std::filesystem::exists(Path("state/bundles/shell")));
}

TEST_F(RunnerTest, AStopTakesTheTerminalBack) {
  const Runner runner = MakeRunner("stty raw -echo; echo ready; exec sleep 1000");
  SessionOnTerminal session([&] {
    std::stop_source stop;
    std::jthread watcher([&] {
      termios attributes{};
      do {
        ::tcgetattr(0, &attributes);
        std::this_thread::yield();
      } while ((attributes.c_lflag & ICANON) != 0);
      stop.request_stop();
    });
    const auto ended = runner.RunOnTerminal("shell", {.arguments = {"sh"}}, 0, stop.get_token());
    termios attributes{};
    ::tcgetattr(0, &attributes);
    return ended.status().code() == StatusCode::kCancelled && (attributes.c_lflag & ICANON) != 0
               ? 0
               : 99;
  });
  EXPECT_EQ(session.Wait(), 0);
  EXPECT_THAT(Calls(), HasSubstr("delete --force shell"));
}

TEST_F(RunnerTest, RemovesWhatAKilledOneLeft) {
  const Runner runner = MakeRunner("exit 0");
  EXPECT_TRUE(runner.RemoveLeftovers().ok());
  EXPECT_EQ(Calls(), "") << "there was never anything";
  std::filesystem::create_directories(Path("state/containers"));
  std::filesystem::create_directories(Path("state/bundles/a"));
  std::ofstream(Path("list")) << "a\nb\n";
  EXPECT_TRUE(runner.RemoveLeftovers().ok());
  EXPECT_EQ(Calls(), "list --quiet\ndelete --force a\ndelete --force b\n");
  EXPECT_FALSE(std::filesystem::exists(Path("state/bundles")));
}

}  // namespace
}  // namespace starling::runc
