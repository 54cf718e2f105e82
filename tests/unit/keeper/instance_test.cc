#include "keeper/instance.h"

#include <fcntl.h>
#include <gtest/gtest.h>
#include <signal.h>
#include <sys/file.h>
#include <sys/wait.h>
#include <unistd.h>

#include <fstream>

#include "base/temp_dir.h"
#include "base/unique_fd.h"

namespace starling::keeper {
namespace {

using std::chrono::milliseconds;

class InstanceTest : public testing::Test {
 protected:
  void Lock() {
    lock_ = UniqueFd(::open(file_.c_str(), O_RDWR | O_CREAT | O_CLOEXEC, 0600));
    ASSERT_EQ(::flock(lock_.get(), LOCK_EX), 0);
  }

  TempDir dir_ = *TempDir::Make("/tmp", "instance-");
  const std::filesystem::path file_ = dir_.path() / kLockFileName;
  UniqueFd lock_;
};

TEST_F(InstanceTest, IsNotThereUnlessLocked) {
  EXPECT_EQ(FindInstance(file_).status().code(), StatusCode::kNotFound);
  std::ofstream(file_) << "1\n2\n";
  EXPECT_EQ(FindInstance(file_).status().code(), StatusCode::kNotFound);
  EXPECT_EQ(Upgrade(file_, milliseconds(0)).status().code(), StatusCode::kNotFound);
  Lock();
  EXPECT_EQ(FindInstance(file_).status().code(), StatusCode::kFailedPrecondition)
      << "not those processes";
}

TEST_F(InstanceTest, DoesNotBelieveEverything) {
  Lock();
  for (const char* text : {"", "1", "1\n", "-1\n2\n", "x\n2\n", "1\n99999999999\n"}) {
    std::ofstream(file_) << text;
    EXPECT_EQ(FindInstance(file_).status().code(), StatusCode::kUnavailable) << text;
  }
}

TEST_F(InstanceTest, IsWhatTheServerNoted) {
  Lock();
  const Instance self{.keeper = ::getppid(), .server = ::getpid()};
  ASSERT_TRUE(WriteInstance(lock_.get(), {.keeper = 1234567, .server = 7654321}).ok());
  ASSERT_TRUE(WriteInstance(lock_.get(), self).ok()) << "shorter";
  const auto found = FindInstance(file_);
  ASSERT_TRUE(found.ok()) << found.status();
  EXPECT_EQ(*found, self);
}

/// Plays the keeper: at SIGHUP it has another server, if `does`.
void PlayKeeper(int lock, int ready, bool does) {
  sigset_t hangup;
  sigemptyset(&hangup);
  sigaddset(&hangup, SIGHUP);
  ::sigprocmask(SIG_BLOCK, &hangup, nullptr);
  const auto start_server = [&] {
    const pid_t server = ::fork();
    if (server == 0) {
      ::pause();
      ::_exit(0);
    }
    (void)WriteInstance(lock, {.keeper = ::getpid(), .server = server});
    return server;
  };
  const pid_t first = start_server();
  (void)!::write(ready, "x", 1);
  int signal = 0;
  ::sigwait(&hangup, &signal);
  const pid_t second = does ? start_server() : first;
  ::pause();
  ::kill(second, SIGKILL);
  ::_exit(0);
}

TEST_F(InstanceTest, AnUpgradeWaitsForTheNextServer) {
  for (const bool does : {true, false}) {
    Lock();
    int ready[2];
    ASSERT_EQ(::pipe2(ready, O_CLOEXEC), 0);
    const pid_t keeper = ::fork();
    if (keeper == 0) {
      ::setpgid(0, 0);
      PlayKeeper(lock_.get(), ready[1], does);
    }
    char x = 0;
    ASSERT_EQ(::read(ready[0], &x, 1), 1);
    const auto before = FindInstance(file_);
    ASSERT_TRUE(before.ok()) << before.status();
    EXPECT_EQ(before->keeper, keeper);
    const auto after = Upgrade(file_, does ? milliseconds(60'000) : milliseconds(50));
    if (does) {
      ASSERT_TRUE(after.ok()) << after.status();
      EXPECT_EQ(after->keeper, keeper);
      EXPECT_NE(after->server, before->server);
    } else {
      EXPECT_EQ(after.status().code(), StatusCode::kDeadlineExceeded);
    }
    ::kill(-keeper, SIGKILL);
    ::waitpid(keeper, nullptr, 0);
    ::close(ready[0]);
    ::close(ready[1]);
    lock_.Reset();
  }
}

}  // namespace
}  // namespace starling::keeper
