// Commands in the namespaces of RunInImage, with a directory as the image.
#include "mount/image_process.h"

#include <gtest/gtest.h>
#include <signal.h>
#include <unistd.h>

#include <filesystem>
#include <fstream>

#include "base/temp_dir.h"
#include "tests/support/private_mounts.h"
#include "tests/support/read_whole.h"

namespace starling::mount {
namespace {

/// busybox as /bin/sh, and little else.
class ImageProcessTest : public testing_support::PrivateMountsFixture {
 protected:
  void SetUp() override {
    for (const char* name : {"bin", "etc", "work"}) {
      std::filesystem::create_directories(Image() / name);
    }
    std::error_code error;
    std::filesystem::copy_file("/bin/busybox", Image() / "bin/busybox", error);
    ASSERT_FALSE(error) << "needs busybox-static";
    std::filesystem::create_symlink("busybox", Image() / "bin/sh");
    std::ofstream(Image() / "etc/plain") << "text";
  }
  std::filesystem::path Image() const { return directory_.path() / "image"; }
  StatusOr<CommandEnd> Run(const std::string& script, const RunUntil& until = {}) const {
    return RunInImage({.image = Image(),
                       .arguments = {"sh", "-c", script},
                       .environment = {"PATH=/nowhere:/bin", "COLOR=blue"},
                       .working_directory = "/work"},
                      until);
  }
  static std::string MountsOf() { return testing_support::ReadWhole("/proc/self/mountinfo"); }

  TempDir directory_ = *TempDir::Make(testing::TempDir(), "image-process");
};

TEST_F(ImageProcessTest, RunsWithTheImageAsItsRoot) {
  const std::string mounts = MountsOf();
  const struct {
    std::string_view name;
    std::string script;
    int want;
  } cases[] = {
      {"success", "true", 0},
      {"exit code", "exit 7", 7},
      {"signal", "kill -KILL $$", 128 + SIGKILL},
      {"environment", R"sh([ "$COLOR" = blue ] && [ -z "$HOME" ])sh", 0},
      {"working directory", R"sh([ "$PWD" = /work ])sh", 0},
      {"the image's files", R"sh([ "$(busybox cat /etc/plain)" = text ])sh", 0},
      {"writable", "echo more >/etc/plain && echo new >/work/new && [ -e /work/new ]", 0},
      {"devices", "echo x >/dev/null && [ -c /dev/zero ]", 0},
      {"its own processes", R"sh([ "$$" -lt 20 ] && [ -e /proc/1/stat ])sh", 0},
      {"descriptors", "exec busybox test ! -e /proc/self/fd/3", 0},
      {"what it leaves behind ends", "busybox sleep 1000 & true", 0},
  };
  for (const auto& c : cases) {
    SCOPED_TRACE(c.name);
    const auto end = Run(c.script);
    ASSERT_TRUE(end.ok()) << Describe(end.status());
    EXPECT_EQ(end->exit_code, c.want);
    EXPECT_FALSE(end->was_reached);
  }
  EXPECT_EQ(testing_support::ReadWhole(Image() / "etc/plain"), "text");
  EXPECT_FALSE(std::filesystem::exists(Image() / "work/new"));
  EXPECT_EQ(MountsOf(), mounts);
}

TEST_F(ImageProcessTest, SaysWhatCannotBeRun) {
  std::ofstream(Image() / "bin/no-program") << "text";
  const struct {
    std::string_view name;
    std::string command;
    std::string directory;
    StatusCode want;
    std::string_view words;
  } cases[] = {
      {"not in PATH", "missing", "", StatusCode::kNotFound, "missing: run the command"},
      {"no such path", "/bin/missing", "", StatusCode::kNotFound, "/bin/missing"},
      {"not executable", "no-program", "", StatusCode::kPermissionDenied, "no-program"},
      {"no such directory", "sh", "/missing", StatusCode::kNotFound, "working directory"},
  };
  for (const auto& c : cases) {
    SCOPED_TRACE(c.name);
    const Status status = RunInImage({.image = Image(),
                                      .arguments = {c.command},
                                      .environment = {"PATH=/bin:/nowhere"},
                                      .working_directory = c.directory})
                              .status();
    EXPECT_EQ(status.code(), c.want) << status;
    EXPECT_NE(MessageOf(status).find(c.words), std::string_view::npos) << status;
  }
  EXPECT_EQ(RunInImage({.image = Image()}).status().code(), StatusCode::kInvalidArgument);
  EXPECT_EQ(RunInImage({.image = Image() / "none", .arguments = {"sh"}}).status().code(),
            StatusCode::kNotFound);
}

TEST_F(ImageProcessTest, PassesAStopSignalOn) {
  sigset_t signals;
  sigset_t before;
  sigemptyset(&signals);
  sigaddset(&signals, SIGTERM);
  ASSERT_EQ(pthread_sigmask(SIG_BLOCK, &signals, &before), 0);
  // It is pending already, so it arrives whatever the command has come to.
  ::kill(::getpid(), SIGTERM);
  const auto end = Run("trap 'exit 9' TERM; while :; do busybox sleep 0.1; done");
  pthread_sigmask(SIG_SETMASK, &before, nullptr);
  ASSERT_TRUE(end.ok()) << Describe(end.status());
  EXPECT_TRUE(end->exit_code == 9 || end->exit_code == 128 + SIGTERM) << end->exit_code;
}

TEST_F(ImageProcessTest, IsEndedWhenItIsTime) {
  const struct {
    std::string_view name;
    std::string script;
    RunUntil until;
    bool want;
    std::string out;
    std::string error;
  } cases[] = {
      {"a time",
       "busybox sleep 1000 & busybox sleep 1000",
       {.time = std::chrono::milliseconds(1)},
       true,
       "",
       ""},
      {"its own end first", "true", {.time = std::chrono::hours(1)}, false, "", ""},
      {"a text",
       "echo ready to serve; busybox sleep 1000",
       {.printed = "ready to"},
       true,
       "ready to serve\n",
       ""},
      {"a text in parts, without an end",
       "busybox printf 'some re'; busybox sleep 0.1; busybox printf ady; busybox sleep 1000",
       {.printed = "ready"},
       true,
       "some ready",
       ""},
      {"a text on standard error",
       "echo x; echo ready >&2; busybox sleep 1000",
       {.printed = "ready"},
       true,
       "x\n",
       "ready\n"},
      {"a text as the last thing", "echo ready", {.printed = "ready"}, true, "ready\n", ""},
      {"another text", "echo red; echo y; exit 3", {.printed = "ready"}, false, "red\ny\n", ""},
      {"more than a pipe holds",
       "busybox head -c 200000 /dev/zero | busybox tr '\\0' x",
       {.printed = "ready"},
       false,
       std::string(200000, 'x'),
       ""},
  };
  for (const auto& c : cases) {
    SCOPED_TRACE(c.name);
    testing::internal::CaptureStdout();
    testing::internal::CaptureStderr();
    const auto end = Run(c.script, c.until);
    const std::string out = testing::internal::GetCapturedStdout();
    const std::string error = testing::internal::GetCapturedStderr();
    ASSERT_TRUE(end.ok()) << Describe(end.status());
    EXPECT_EQ(end->was_reached, c.want);
    EXPECT_EQ(out, c.out);
    EXPECT_EQ(error, c.error);
  }
}

}  // namespace
}  // namespace starling::mount
