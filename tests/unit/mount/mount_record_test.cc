#include "mount/mount_record.h"

#include <gtest/gtest.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/temp_dir.h"

namespace starling::mount {
namespace {

class MountRecordsTest : public testing::Test {
 protected:
  /// A child that notes that it serves `at`, then lives until it is told to end.
  pid_t StartServer(const std::filesystem::path& at) {
    int ends[2];
    EXPECT_EQ(::pipe(ends), 0);
    const pid_t child = ::fork();
    if (child == 0) {
      const Status added = records_.Add(at, directory_.path());
      const char answer = added.ok() ? 'y' : 'n';
      (void)!::write(ends[1], &answer, 1);
      for (;;) {
        ::pause();
      }
    }
    char answer = 0;
    EXPECT_EQ(::read(ends[0], &answer, 1), 1);
    EXPECT_EQ(answer, 'y');
    ::close(ends[0]);
    ::close(ends[1]);
    return child;
  }

  TempDir directory_ = *TempDir::Make(testing::TempDir(), "records");
  MountRecords records_{directory_.path() / "records", RealFileSystem()};
  const std::filesystem::path at_ = directory_.path() / "at";
};

TEST_F(MountRecordsTest, StopEndsTheServer) {
  const pid_t server = StartServer(at_);
  EXPECT_TRUE(records_.Stop(at_, std::chrono::seconds(20)).ok());
  int status = 0;
  EXPECT_EQ(::waitpid(server, &status, 0), server);
  EXPECT_TRUE(WIFSIGNALED(status));
  EXPECT_EQ(WTERMSIG(status), SIGTERM);
  EXPECT_EQ(records_.Stop(at_, std::chrono::seconds(1)).code(), StatusCode::kNotFound);
}

TEST_F(MountRecordsTest, ADirectoryHasOneServer) {
  const pid_t server = StartServer(at_);
  EXPECT_EQ(records_.Add(at_, directory_.path()).code(), StatusCode::kAlreadyExists);
  EXPECT_TRUE(records_.Add(directory_.path() / "other", directory_.path()).ok());
  ::kill(server, SIGKILL);
  ::waitpid(server, nullptr, 0);
  EXPECT_TRUE(records_.Add(at_, directory_.path()).ok()) << "a dead server's record is replaced";
}

TEST_F(MountRecordsTest, StopForgetsADeadServer) {
  const pid_t server = StartServer(at_);
  ::kill(server, SIGKILL);
  ::waitpid(server, nullptr, 0);
  EXPECT_TRUE(records_.Stop(at_, std::chrono::seconds(1)).ok());
  EXPECT_EQ(records_.Stop(at_, std::chrono::seconds(1)).code(), StatusCode::kNotFound);
}

TEST_F(MountRecordsTest, ADamagedRecordIsNamed) {
  ASSERT_TRUE(records_.Add(at_, directory_.path()).ok());
  for (const auto& entry : std::filesystem::directory_iterator(directory_.path() / "records")) {
    ASSERT_TRUE(WriteFileAtomically(RealFileSystem(), entry.path(), AsBytes("{"), 0600).ok());
  }
  const Status stopped = records_.Stop(at_, std::chrono::seconds(1));
  EXPECT_EQ(stopped.code(), StatusCode::kDataLoss);
  EXPECT_NE(MessageOf(stopped).find("remove it"), std::string_view::npos);
}

}  // namespace
}  // namespace starling::mount
