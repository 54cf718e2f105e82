#include "runc/saved_terminal.h"

#include <fcntl.h>
#include <gtest/gtest.h>
#include <signal.h>
#include <unistd.h>

#include "base/unique_fd.h"
#include "tests/support/session_on_terminal.h"

namespace starling::runc {
namespace {

using testing_support::SessionOnTerminal;

bool IsRaw() {
  termios attributes{};
  return ::tcgetattr(0, &attributes) == 0 && (attributes.c_lflag & (ICANON | ECHO)) == 0;
}

TEST(SavedTerminal, PutsBackHowItIsSet) {
  SessionOnTerminal session([] {
    {
      const auto saved = SavedTerminal::Save(0);
      termios raw{};
      ::tcgetattr(0, &raw);
      ::cfmakeraw(&raw);
      ::tcsetattr(0, TCSANOW, &raw);
      if (!saved.ok() || !IsRaw()) {
        return 1;
      }
    }
    return IsRaw() ? 2 : 0;
  });
  EXPECT_EQ(session.Wait(), 0);
}

TEST(SavedTerminal, TakesTheForegroundBack) {
  SessionOnTerminal session([] {
    const auto saved = SavedTerminal::Save(0);
    const pid_t own = ::getpgrp();
    const pid_t other = ::fork();
    if (other == 0) {
      ::pause();
      ::_exit(0);
    }
    ::setpgid(other, other);
    const bool is_given = ::tcsetpgrp(0, other) == 0 && ::tcgetpgrp(0) == other;
    // From the background now, where SIGTTOU would stop this process.
    saved->Restore();
    ::kill(other, SIGKILL);
    return is_given && ::tcgetpgrp(0) == own ? 0 : 1;
  });
  EXPECT_EQ(session.Wait(), 0);
}

TEST(SavedTerminal, NeedsATerminal) {
  const UniqueFd null(::open("/dev/null", O_RDWR | O_CLOEXEC));
  EXPECT_EQ(SavedTerminal::Save(null.get()).status().code(), StatusCode::kFailedPrecondition);
}

}  // namespace
}  // namespace starling::runc
