#include "base/terminal.h"

#include <fcntl.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <signal.h>
#include <stdlib.h>
#include <termios.h>
#include <unistd.h>

#include <thread>

#include "base/unique_fd.h"

namespace starling {
namespace {

/// A terminal and the keyboard that belongs to it.
class Terminal : public testing::Test {
 protected:
  void SetUp() override {
    keyboard_.Reset(::posix_openpt(O_RDWR | O_NOCTTY | O_CLOEXEC));
    ASSERT_TRUE(keyboard_.valid());
    ASSERT_EQ(::grantpt(keyboard_.get()), 0);
    ASSERT_EQ(::unlockpt(keyboard_.get()), 0);
    terminal_.Reset(::open(::ptsname(keyboard_.get()), O_RDWR | O_NOCTTY | O_CLOEXEC));
    ASSERT_TRUE(terminal_.valid());
  }
  /// What the terminal showed until it showed `last`.
  std::string ShownUntil(std::string_view last) {
    std::string shown;
    while (!shown.ends_with(last)) {
      char c = 0;
      if (::read(keyboard_.get(), &c, 1) != 1) break;
      shown += c;
    }
    return shown;
  }
  void Type(std::string_view text) {
    ASSERT_EQ(::write(keyboard_.get(), text.data(), text.size()),
              static_cast<ssize_t>(text.size()));
  }
  bool Echoes() const {
    termios settings{};
    ::tcgetattr(terminal_.get(), &settings);
    return (settings.c_lflag & ECHO) != 0;
  }

  UniqueFd keyboard_;
  UniqueFd terminal_;
};

TEST_F(Terminal, HidesWhatIsTyped) {
  std::string shown;
  std::thread user([&] {
    shown = ShownUntil("Password: ");
    EXPECT_FALSE(Echoes());
    Type("hunter2\n");
    shown += ShownUntil("\n");
  });
  const auto line = AskOnTerminal(terminal_.get(), "Password: ", Echo::kHidden);
  user.join();
  ASSERT_TRUE(line.ok()) << line.status();
  EXPECT_EQ(*line, "hunter2");
  EXPECT_EQ(shown, "Password: \r\n");
  EXPECT_TRUE(Echoes());
}

TEST_F(Terminal, ShowsWhatIsTyped) {
  std::string shown;
  std::thread user([&] {
    shown = ShownUntil("User name: ");
    Type("me\n");
    shown += ShownUntil("\n");
  });
  const auto line = AskOnTerminal(terminal_.get(), "User name: ", Echo::kShown);
  user.join();
  EXPECT_EQ(*line, "me");
  EXPECT_EQ(shown, "User name: me\r\n");
}

TEST_F(Terminal, IsAsBeforeAfterASignal) {
  const pthread_t asking = ::pthread_self();
  std::thread user([&] {
    ShownUntil("Password: ");
    Type("half");
    ::pthread_kill(asking, SIGINT);
  });
  const auto line = AskOnTerminal(terminal_.get(), "Password: ", Echo::kHidden);
  user.join();
  EXPECT_EQ(line.status().code(), StatusCode::kCancelled);
  EXPECT_TRUE(Echoes());
}

TEST_F(Terminal, EndsWithTheInput) {
  std::thread user([&] {
    ShownUntil("Password: ");
    Type("\x04");
  });
  const auto line = AskOnTerminal(terminal_.get(), "Password: ", Echo::kHidden);
  user.join();
  EXPECT_EQ(line.status().code(), StatusCode::kCancelled);
  EXPECT_TRUE(Echoes());
}

TEST(AskOnTerminal, NeedsOne) {
  const UniqueFd null(::open("/dev/null", O_RDWR | O_CLOEXEC));
  EXPECT_FALSE(AskOnTerminal(null.get(), "Password: ", Echo::kHidden).ok());
}

}  // namespace
}  // namespace starling
