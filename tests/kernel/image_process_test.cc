// Commands in the namespaces of RunInImage, with a directory as the image.
#include "mount/image_process.h"

#include <gtest/gtest.h>
#include <signal.h>
#include <unistd.h>

#include <filesystem>
#include <fstream>

#include "base/temp_dir.h"
#include "tests/support/private_mounts.h"

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
  StatusOr<int> Run(const std::string& script) const {
    return RunInImage({.image = Image(),
                       .arguments = {"sh", "-c", script},
                       .environment = {"PATH=/nowhere:/bin", "COLOR=blue"},
                       .working_directory = "/work"});
  }
  static std::string MountsOf() {
    std::ifstream file("/proc/self/mountinfo");
    return {std::istreambuf_iterator<char>(file), {}};
  }

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
    const auto code = Run(c.script);
    ASSERT_TRUE(code.ok()) << Describe(code.status());
    EXPECT_EQ(*code, c.want);
  }
  std::ifstream plain(Image() / "etc/plain");
  EXPECT_EQ(std::string(std::istreambuf_iterator<char>(plain), {}), "text");
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
  const auto code = Run("trap 'exit 9' TERM; while :; do busybox sleep 0.1; done");
  pthread_sigmask(SIG_SETMASK, &before, nullptr);
  ASSERT_TRUE(code.ok()) << Describe(code.status());
  EXPECT_TRUE(*code == 9 || *code == 128 + SIGTERM) << *code;
}

}  // namespace
}  // namespace starling::mount
