#include "keeper/service_manager.h"

#include <gtest/gtest.h>
#include <sys/socket.h>
#include <sys/un.h>

#include <cstdlib>
#include <cstring>
#include <string>

#include "base/temp_dir.h"
#include "base/unique_fd.h"

namespace starling::keeper {
namespace {

TEST(NotifyServiceManager, SendsTheStateToTheNamedSocket) {
  const auto dir = TempDir::Make("/tmp", "notify");
  ASSERT_TRUE(dir.ok());
  const std::string path = dir->path() / "n.sock";
  sockaddr_un address{};
  address.sun_family = AF_UNIX;
  std::memcpy(address.sun_path, path.data(), path.size());
  const UniqueFd receiver(::socket(AF_UNIX, SOCK_DGRAM, 0));
  ASSERT_EQ(::bind(receiver.get(), reinterpret_cast<const sockaddr*>(&address), sizeof(address)),
            0);

  ::setenv("NOTIFY_SOCKET", path.c_str(), 1);
  EXPECT_TRUE(NotifyServiceManager("READY=1").ok());
  ::unsetenv("NOTIFY_SOCKET");
  char received[64];
  const ssize_t size = ::recv(receiver.get(), received, sizeof(received), MSG_DONTWAIT);
  ASSERT_GT(size, 0);
  EXPECT_EQ(std::string(received, static_cast<size_t>(size)), "READY=1");
}

TEST(NotifyServiceManager, IsSilentWhenNobodyAsks) {
  ::unsetenv("NOTIFY_SOCKET");
  EXPECT_TRUE(NotifyServiceManager("READY=1").ok());
}

TEST(NotifyServiceManager, RefusesWhatIsNoSocket) {
  ::setenv("NOTIFY_SOCKET", "relative/path", 1);
  EXPECT_EQ(NotifyServiceManager("READY=1").code(), StatusCode::kInvalidArgument);
  ::setenv("NOTIFY_SOCKET", "/nonexistent/socket", 1);
  EXPECT_EQ(NotifyServiceManager("READY=1").code(), StatusCode::kNotFound);
  ::unsetenv("NOTIFY_SOCKET");
}

}  // namespace
}  // namespace starling::keeper
