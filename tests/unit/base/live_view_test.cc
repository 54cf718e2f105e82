#include "base/live_view.h"

#include <fcntl.h>
#include <gtest/gtest.h>
#include <stdlib.h>
#include <sys/ioctl.h>
#include <unistd.h>

#include "base/io.h"

namespace starling {
namespace {

using Event = LiveView::Event;

/// A terminal and the end that its user sits at.
class LiveViewTest : public testing::Test {
 protected:
  void SetUp() override {
    user_.Reset(::posix_openpt(O_RDWR | O_NOCTTY | O_CLOEXEC));
    ASSERT_TRUE(user_.valid());
    ASSERT_EQ(::grantpt(user_.get()), 0);
    ASSERT_EQ(::unlockpt(user_.get()), 0);
    terminal_.Reset(::open(::ptsname(user_.get()), O_RDWR | O_NOCTTY | O_CLOEXEC));
    ASSERT_TRUE(terminal_.valid());
    const winsize size{.ws_row = 3, .ws_col = 20, .ws_xpixel = 0, .ws_ypixel = 0};
    ASSERT_EQ(::ioctl(user_.get(), TIOCSWINSZ, &size), 0);
    ASSERT_EQ(::fcntl(user_.get(), F_SETFL, O_NONBLOCK), 0);
  }
  tcflag_t LocalFlags() const {
    termios state{};
    EXPECT_EQ(::tcgetattr(terminal_.get(), &state), 0);
    return state.c_lflag;
  }
  std::string Shown() {
    std::string shown(4096, 0);
    const ssize_t size = ::read(user_.get(), shown.data(), shown.size());
    shown.resize(size < 0 ? 0 : static_cast<size_t>(size));
    return shown;
  }
  std::unique_ptr<LiveView> Open() {
    auto view = LiveView::Open(terminal_.get(), terminal_.get());
    EXPECT_TRUE(view.ok()) << view.status();
    return *std::move(view);
  }
  static std::chrono::steady_clock::time_point Later() {
    return std::chrono::steady_clock::now() + std::chrono::minutes(1);
  }

  UniqueFd user_;
  UniqueFd terminal_;
};

TEST_F(LiveViewTest, DrawsAPageAndPutsTheTerminalBack) {
  const tcflag_t before = LocalFlags();
  ASSERT_NE(before & (ICANON | ECHO), 0U);
  auto view = Open();
  EXPECT_EQ(Shown(), "\x1b[?1049h\x1b[?25l");
  EXPECT_EQ(LocalFlags() & (ICANON | ECHO), 0U);
  EXPECT_EQ(view->columns(), 20U);
  EXPECT_EQ(view->rows(), 3U);
  ASSERT_TRUE(view->Draw({"one", "two"}).ok());
  // The terminal makes a line feed a carriage return and a line feed.
  EXPECT_EQ(Shown(), "\x1b[Hone\x1b[K\r\r\ntwo\x1b[K\x1b[J");
  ASSERT_TRUE(view->Draw({"1", "2", "3", "beyond"}).ok());
  EXPECT_EQ(Shown(), "\x1b[H1\x1b[K\r\r\n2\x1b[K\r\r\n3\x1b[K\x1b[J");
  view.reset();
  EXPECT_EQ(Shown(), "\x1b[?25h\x1b[?1049l");
  EXPECT_EQ(LocalFlags(), before);
}

TEST_F(LiveViewTest, TellsOfKeysSignalsAndTime) {
  const auto view = Open();
  ASSERT_EQ(::write(user_.get(), "q", 1), 1);
  EXPECT_EQ(*view->Wait(Later()), Event::kKey);
  EXPECT_EQ(view->key(), 'q');
  EXPECT_EQ(*view->Wait(std::chrono::steady_clock::now()), Event::kTime);
  for (const int signal : {SIGINT, SIGTERM, SIGQUIT, SIGHUP}) {
    ::kill(::getpid(), signal);
    EXPECT_EQ(*view->Wait(Later()), Event::kEnd) << signal;
  }
  ::kill(::getpid(), SIGWINCH);
  EXPECT_EQ(*view->Wait(Later()), Event::kRedraw);
  user_.Reset();
  EXPECT_EQ(*view->Wait(Later()), Event::kEnd) << "the terminal is gone";
}

TEST_F(LiveViewTest, NeedsATerminalForItsPageAlone) {
  const UniqueFd none(::open("/dev/null", O_RDWR | O_CLOEXEC));
  EXPECT_EQ(LiveView::Open(terminal_.get(), none.get()).status().code(),
            StatusCode::kFailedPrecondition);
  const auto view = LiveView::Open(none.get(), terminal_.get());
  ASSERT_TRUE(view.ok()) << view.status();
  ASSERT_EQ(::write(user_.get(), "q\n", 2), 2);
  EXPECT_EQ(*(*view)->Wait(std::chrono::steady_clock::now()), Event::kTime);
}

TEST(FitColumns, CutsBetweenCharacters) {
  EXPECT_EQ(FitColumns("abc", 3), "abc");
  EXPECT_EQ(FitColumns("abcd", 3), "abc");
  EXPECT_EQ(FitColumns("n\xc3\xa4\xc3\xafve", 2), "n\xc3\xa4");
  EXPECT_EQ(FitColumns("", 0), "");
}

}  // namespace
}  // namespace starling
