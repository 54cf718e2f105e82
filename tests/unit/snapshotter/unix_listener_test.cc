#include "snapshotter/unix_listener.h"

#include <gtest/gtest.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>

#include <cstring>
#include <filesystem>
#include <fstream>
#include <string>

#include "base/copy_fd.h"
#include "base/temp_dir.h"

namespace starling::snapshotter {
namespace {

namespace fs = std::filesystem;

class UnixListenerTest : public testing::Test {
 protected:
  UnixListenerTest()
      : dir_(*TempDir::Make("/tmp", "listener")), path_(dir_.path() / "run/s.sock") {}

  bool CanConnect() const {
    sockaddr_un address{};
    address.sun_family = AF_UNIX;
    const std::string text = path_;
    std::memcpy(address.sun_path, text.data(), text.size());
    const UniqueFd fd(::socket(AF_UNIX, SOCK_STREAM, 0));
    return ::connect(fd.get(), reinterpret_cast<const sockaddr*>(&address), sizeof(address)) == 0;
  }

  TempDir dir_;
  fs::path path_;
};

TEST_F(UnixListenerTest, MakesAPrivateSocketAndTakesItAway) {
  {
    const auto listener = UnixListener::Bind(path_);
    ASSERT_TRUE(listener.ok()) << listener.status();
    struct stat entry{};
    ASSERT_EQ(::stat(path_.c_str(), &entry), 0);
    EXPECT_EQ(entry.st_mode & 0777, 0600U);
    EXPECT_TRUE(CanConnect());
  }
  EXPECT_FALSE(fs::exists(path_));
}

TEST_F(UnixListenerTest, ReplacesASocketThatNobodyAnswersOn) {
  {
    auto dead = UnixListener::Bind(path_);
    ASSERT_TRUE(dead.ok());
    // A crash leaves the file behind.
    fs::rename(path_, path_.string() + ".kept");
  }
  fs::rename(path_.string() + ".kept", path_);
  ASSERT_FALSE(CanConnect());
  const auto listener = UnixListener::Bind(path_);
  ASSERT_TRUE(listener.ok()) << listener.status();
  EXPECT_TRUE(CanConnect());
}

TEST_F(UnixListenerTest, LeavesASocketAloneThatSomebodyAnswersOn) {
  const auto first = UnixListener::Bind(path_);
  ASSERT_TRUE(first.ok());
  const Status second = UnixListener::Bind(path_).status();
  EXPECT_EQ(second.code(), StatusCode::kFailedPrecondition);
  EXPECT_EQ(MessageOf(second), "another process listens on " + path_.string());
  EXPECT_TRUE(CanConnect());
}

TEST_F(UnixListenerTest, RefusesBadPaths) {
  fs::create_directories(path_.parent_path());
  std::ofstream(path_) << "a file";
  EXPECT_EQ(UnixListener::Bind(path_).status().code(), StatusCode::kFailedPrecondition);
  EXPECT_TRUE(fs::exists(path_));
  EXPECT_EQ(UnixListener::Bind(dir_.path() / std::string(200, 'x')).status().code(),
            StatusCode::kInvalidArgument);
}

TEST_F(UnixListenerTest, ASuccessorHasTheSameSocket) {
  auto first = UnixListener::Bind(path_);
  ASSERT_TRUE(first.ok());
  auto copy = CopyFd(first->fd());
  ASSERT_TRUE(copy.ok());
  EXPECT_EQ(first->LeaveFile(), path_);
  first = MakeError(StatusCode::kCancelled, "the first process ends");
  EXPECT_TRUE(CanConnect()) << "connections wait for the second";
  {
    const auto second = UnixListener::Adopt(*std::move(copy));
    ASSERT_TRUE(second.ok()) << second.status();
    EXPECT_TRUE(CanConnect());
  }
  EXPECT_TRUE(fs::exists(path_)) << "not its own to delete";
  EXPECT_FALSE(CanConnect());
}

TEST_F(UnixListenerTest, RefusesToAdoptWhatIsNoListeningSocket) {
  EXPECT_EQ(UnixListener::Adopt(UniqueFd(::socket(AF_UNIX, SOCK_STREAM, 0))).status().code(),
            StatusCode::kFailedPrecondition);
  EXPECT_EQ(UnixListener::Adopt(UniqueFd()).status().code(), StatusCode::kFailedPrecondition);
}

}  // namespace
}  // namespace starling::snapshotter
