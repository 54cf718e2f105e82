#include "keeper/supervisor.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <csignal>
#include <vector>

#include "tests/support/manual_clock.h"

namespace starling::keeper {
namespace {

using std::chrono::milliseconds;
using testing::ElementsAre;

/// Notes what is done, in its order.
class FakeActions : public Actions {
 public:
  StatusOr<pid_t> StartServer() override {
    done.push_back("start");
    RETURN_IF_ERROR(start_error);
    return ++last_pid;
  }
  void SendSignal(pid_t server, int signal) override {
    done.push_back(fmt::format("signal {} to {}", signal, server));
  }
  Status CheckSuccessor() override {
    done.push_back("check");
    return check_error;
  }
  Status Become() override {
    done.push_back("become");
    return MakeError(StatusCode::kNotFound, "no such program");
  }
  void Notify(const std::string& state) override {
    done.push_back(state.substr(0, state.find('\n')));
  }
  std::vector<std::string> TakeDone() { return std::exchange(done, {}); }

  std::vector<std::string> done;
  Status start_error;
  Status check_error;
  pid_t last_pid = 100;
};

class SupervisorTest : public testing::Test {
 protected:
  const ServerEnd kKilled = {.exit_code = std::nullopt, .description = "signal 9"};
  static ServerEnd Exit(int code) {
    return {.exit_code = code, .description = fmt::format("exit code {}", code)};
  }
  void StartAndServe() {
    supervisor_.Start(false);
    supervisor_.OnReady();
    actions_.TakeDone();
  }
  milliseconds UntilDeadline() const {
    return std::chrono::duration_cast<milliseconds>(supervisor_.deadline().value() - clock_.Now());
  }

  FakeActions actions_;
  testing_support::ManualClock clock_;
  Supervisor supervisor_{actions_, clock_};
};

TEST_F(SupervisorTest, AServerThatCannotStartEndsTheKeeperWithItsExitCode) {
  supervisor_.Start(false);
  EXPECT_EQ(supervisor_.server(), 101);
  supervisor_.OnServerEnded(Exit(2));
  EXPECT_EQ(supervisor_.exit_code(), 2);
  EXPECT_THAT(actions_.done, ElementsAre("start"));
}

TEST_F(SupervisorTest, AServerThatIsKilledBeforeItServedEndsTheKeeper) {
  supervisor_.Start(false);
  supervisor_.OnServerEnded(kKilled);
  EXPECT_EQ(supervisor_.exit_code(), 1);
}

TEST_F(SupervisorTest, WhatCannotBeStartedAtAllEndsTheKeeper) {
  actions_.start_error = ErrnoError(EAGAIN, "fork");
  supervisor_.Start(false);
  EXPECT_EQ(supervisor_.exit_code(), 1);
}

TEST_F(SupervisorTest, WithMountsItNeverGivesUp) {
  supervisor_.Start(true);
  for (int i = 0; i < 100; ++i) {
    supervisor_.OnServerEnded(Exit(1));
    EXPECT_FALSE(supervisor_.exit_code().has_value());
    if (supervisor_.deadline()) {
      EXPECT_LE(UntilDeadline(), Backoff::kMostAfterFailing);
      clock_.Advance(UntilDeadline());
      supervisor_.OnTime();
    }
    EXPECT_TRUE(supervisor_.server().has_value());
  }
  actions_.start_error = ErrnoError(EAGAIN, "fork");
  supervisor_.OnServerEnded(Exit(1));
  supervisor_.OnTime();
  EXPECT_FALSE(supervisor_.exit_code().has_value());
  EXPECT_TRUE(supervisor_.deadline().has_value());
}

TEST_F(SupervisorTest, ADeadServerIsReplacedAtOnceAndLaterWithDelay) {
  StartAndServe();
  supervisor_.OnServerEnded(kKilled);
  EXPECT_THAT(actions_.TakeDone(), ElementsAre("start"));
  EXPECT_EQ(supervisor_.server(), 102);
  supervisor_.OnReady();
  EXPECT_THAT(actions_.TakeDone(), ElementsAre("READY=1"));
  supervisor_.OnServerEnded(kKilled);
  EXPECT_THAT(actions_.TakeDone(), ElementsAre());
  EXPECT_EQ(UntilDeadline(), Backoff::kFirst);
  EXPECT_FALSE(supervisor_.server().has_value());
  supervisor_.OnTime();
  EXPECT_THAT(actions_.TakeDone(), ElementsAre("start"));
  supervisor_.OnReady();
  clock_.Advance(Backoff::kHealthyLife);
  actions_.TakeDone();
  supervisor_.OnServerEnded(Exit(0));
  EXPECT_THAT(actions_.TakeDone(), ElementsAre("start")) << "even if it ended by itself";
}

TEST_F(SupervisorTest, AStopIsPassedOn) {
  StartAndServe();
  supervisor_.OnStop();
  EXPECT_THAT(actions_.TakeDone(), ElementsAre("STOPPING=1", "signal 15 to 101"));
  supervisor_.OnStop();
  EXPECT_THAT(actions_.TakeDone(), ElementsAre("signal 15 to 101")) << "which ends it at once";
  EXPECT_FALSE(supervisor_.exit_code().has_value());
  supervisor_.OnServerEnded(Exit(0));
  EXPECT_EQ(supervisor_.exit_code(), 0);
  EXPECT_THAT(actions_.TakeDone(), ElementsAre());
}

TEST_F(SupervisorTest, AServerThatDoesNotStopIsKilled) {
  StartAndServe();
  supervisor_.OnStop();
  actions_.TakeDone();
  clock_.Advance(Supervisor::kPatience);
  supervisor_.OnTime();
  EXPECT_THAT(actions_.TakeDone(), ElementsAre("signal 9 to 101"));
  supervisor_.OnServerEnded(kKilled);
  EXPECT_EQ(supervisor_.exit_code(), 1);
}

TEST_F(SupervisorTest, AStopWhileNoServerLivesEnds) {
  StartAndServe();
  supervisor_.OnServerEnded(kKilled);
  supervisor_.OnServerEnded(kKilled);
  ASSERT_FALSE(supervisor_.server().has_value());
  supervisor_.OnStop();
  EXPECT_EQ(supervisor_.exit_code(), 0);
}

TEST_F(SupervisorTest, AReloadChecksAndBecomesTheProgramOnTheDisk) {
  StartAndServe();
  supervisor_.OnReload();
  EXPECT_THAT(actions_.TakeDone(), ElementsAre("RELOADING=1", "check", "become", "READY=1"))
      << "the last, because it could not";
  EXPECT_EQ(supervisor_.server(), 101) << "it goes on";
  actions_.check_error = MakeError(StatusCode::kFailedPrecondition, "another version");
  supervisor_.OnReload();
  EXPECT_THAT(actions_.TakeDone(), ElementsAre("RELOADING=1", "check", "READY=1"));
  supervisor_.OnStop();
  actions_.TakeDone();
  supervisor_.OnReload();
  EXPECT_THAT(actions_.TakeDone(), ElementsAre());
}

TEST_F(SupervisorTest, AKeeperThatResumesReplacesTheServer) {
  supervisor_.Resume(77);
  EXPECT_THAT(actions_.TakeDone(), ElementsAre("signal 1 to 77"));
  supervisor_.OnServerEnded(Exit(0));
  EXPECT_THAT(actions_.TakeDone(), ElementsAre("start")) << "at once";
  supervisor_.OnReady();
  EXPECT_THAT(actions_.TakeDone(), ElementsAre("READY=1"));
  supervisor_.OnServerEnded(Exit(1));
  EXPECT_THAT(actions_.TakeDone(), ElementsAre("start")) << "from now on it is a death";
}

TEST_F(SupervisorTest, AServerThatDoesNotHandOverIsKilled) {
  supervisor_.Resume(77);
  actions_.TakeDone();
  EXPECT_EQ(UntilDeadline(), Supervisor::kPatience);
  supervisor_.OnTime();
  EXPECT_THAT(actions_.TakeDone(), ElementsAre("signal 9 to 77"));
  supervisor_.OnServerEnded(kKilled);
  EXPECT_THAT(actions_.TakeDone(), ElementsAre("start"));
}

TEST_F(SupervisorTest, AKeeperThatResumesWithoutAServerStartsOne) {
  supervisor_.Resume(std::nullopt);
  EXPECT_THAT(actions_.TakeDone(), ElementsAre("start"));
  supervisor_.OnServerEnded(Exit(1));
  EXPECT_FALSE(supervisor_.exit_code().has_value()) << "there are mounts";
}

}  // namespace
}  // namespace starling::keeper
