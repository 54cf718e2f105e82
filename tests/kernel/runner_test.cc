// Commands in containers that real runc makes, over this machine's own root directory.
#include "runc/runner.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <set>
#include <sstream>

#include "base/temp_dir.h"
#include "tests/support/file_tree.h"
#include "tests/support/private_mounts.h"

namespace starling::runc {
namespace {

using testing::HasSubstr;
using testing_support::Shell;

class RuncTest : public testing_support::PrivateMountsFixture {
 protected:
  void SetUp() override {
    auto directory = TempDir::Make("/tmp", "runc-");
    ASSERT_TRUE(directory.ok()) << directory.status();
    directory_.emplace(*std::move(directory));
    Shell(
        fmt::format("mount -t tmpfs none {0} && cd {0} && mkdir upper work root && "
                    "mount -t overlay none -o lowerdir=/,upperdir=upper,workdir=work root",
                    Path("").native()));
  }
  void TearDown() override { Shell(fmt::format("umount -R {}", Path("").native())); }
  std::filesystem::path Path(const std::string& name) const { return directory_->path() / name; }
  ContainerSpec Spec(const std::string& script) const {
    return {.root = Path("root"),
            .arguments = {"/bin/sh", "-c", script},
            .environment = {"PATH=/usr/sbin:/usr/bin:/sbin:/bin"},
            .hostname = "build"};
  }
  StatusOr<int> RunSpec(const ContainerSpec& spec, const std::stop_token& stop = {}) {
    const Runner runner({.state_directory = Path("state")});
    const auto status = runner.Run(
        fmt::format("starling-test-{}", ::getpid()), spec,
        [this](Stream, std::string_view text) {
          output_ += text;
          if (on_output_) {
            on_output_();
          }
        },
        stop);
    EXPECT_TRUE(std::filesystem::is_empty(Path("state/containers"))) << "it is gone";
    return status;
  }
  /// What a script prints that succeeds.
  std::string OutputOf(const ContainerSpec& spec) {
    output_.clear();
    const auto status = RunSpec(spec);
    EXPECT_TRUE(status.ok()) << status.status();
    EXPECT_EQ(status.value_or(-1), 0) << output_;
    return output_;
  }

  std::optional<TempDir> directory_;
  std::string output_;
  std::function<void()> on_output_;
};

TEST_F(RuncTest, RunsWhatTheSpecSays) {
  ContainerSpec spec = Spec("echo $A; pwd; id -u; id -g; hostname; umask; cat; echo new > /file");
  spec.environment.emplace_back("A=a b");
  spec.working_directory = "/usr/lib";
  EXPECT_EQ(OutputOf(spec), "a b\n/usr/lib\n0\n0\nbuild\n0022\n");
  EXPECT_EQ(testing_support::ReadWhole(Path("upper/file")), "new\n");
  spec = Spec("id -u; id -g; id -G");
  spec.user = {.uid = 12, .gid = 34, .additional_gids = {56}};
  EXPECT_EQ(OutputOf(spec), "12\n34\n34 56\n");
}

TEST_F(RuncTest, TellsTheCommandsStatus) {
  EXPECT_EQ(RunSpec(Spec("exit 7")).value(), 7);
  EXPECT_EQ(RunSpec(Spec("kill -KILL $$")).value_or(0), 0) << "PID 1 is not killed by its own";
  ContainerSpec missing = Spec("");
  missing.arguments = {"/no/such/program"};
  const auto status = RunSpec(missing).status();
  EXPECT_EQ(status.code(), StatusCode::kFailedPrecondition);
  EXPECT_THAT(std::string(MessageOf(status)), HasSubstr("/no/such/program"));
}

TEST_F(RuncTest, WhatIsLeftBehindEndsWithTheCommand) {
  // It would hold the output open for ever.
  EXPECT_EQ(OutputOf(Spec("(trap '' HUP TERM; sleep 1000) & setsid sleep 1000 & echo started")),
            "started\n");
}

TEST_F(RuncTest, ASandboxCannotReachTheMachine) {
  const char* const scripts[] = {
      "unshare --user true",
      "unshare --mount true",
      "mount -t tmpfs none /mnt",
      "hostname other",
      "echo 1 > /proc/sys/vm/drop_caches",
      "mknod /disk b 8 0 && head -c 1 /disk",
      "test -s /proc/kcore",
      "touch /sys/kernel/test",
      "chroot / umount /proc",
  };
  for (const char* script : scripts) {
    EXPECT_NE(RunSpec(Spec(script)).value_or(0), 0) << script;
  }
  EXPECT_EQ(OutputOf(Spec("grep NoNewPrivs /proc/self/status")), "NoNewPrivs:\t0\n");
  EXPECT_EQ(OutputOf(Spec("grep CapBnd /proc/self/status")), "CapBnd:\t00000000a80425fb\n");
}

TEST_F(RuncTest, InsecureMayDoAll) {
  ContainerSpec spec = Spec("mount -t tmpfs none /mnt && touch /mnt/f && unshare --mount true");
  spec.security = Security::kInsecure;
  OutputOf(spec);
}

TEST_F(RuncTest, WithoutANetworkThereIsLoopbackOnly) {
  ContainerSpec spec = Spec("tail -n +3 /proc/net/dev | cut -d: -f1 | tr -d ' '");
  spec.network = Network::kNone;
  EXPECT_EQ(OutputOf(spec), "lo\n");
}

TEST_F(RuncTest, MountsAndLimitsHold) {
  Shell(fmt::format("mkdir {0} && echo seen > {0}/f", Path("cache").native()));
  ContainerSpec spec =
      Spec("cat /cache/f; echo back > /cache/g; ulimit -n; df --output=size -k /dev/shm | tail -1");
  spec.mounts = {{.destination = "/cache",
                  .type = "bind",
                  .source = Path("cache").native(),
                  .options = {"rbind", "rw"}}};
  spec.limits = {{.type = "RLIMIT_NOFILE", .soft = 123, .hard = 123}};
  spec.shm_bytes = 1 << 20;
  std::istringstream output(OutputOf(spec));
  std::string seen;
  int files = 0;
  int shm_kib = 0;
  output >> seen >> files >> shm_kib;
  EXPECT_EQ(seen, "seen");
  EXPECT_EQ(files, 123);
  EXPECT_EQ(shm_kib, 1024);
  EXPECT_EQ(testing_support::ReadWhole(Path("cache/g")), "back\n");
}

TEST_F(RuncTest, AStopEndsIt) {
  std::stop_source stop;
  on_output_ = [&stop] { stop.request_stop(); };
  const auto status =
      RunSpec(Spec("trap '' TERM INT; echo started; sleep 1000"), stop.get_token()).status();
  EXPECT_EQ(status.code(), StatusCode::kCancelled);
}

}  // namespace
}  // namespace starling::runc
