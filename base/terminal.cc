#include "base/terminal.h"

#include <poll.h>
#include <signal.h>
#include <termios.h>
#include <unistd.h>

#include <cerrno>

#include "base/held_signals.h"
#include "base/io.h"

namespace starling {
namespace {

class HiddenInput {
 public:
  HiddenInput(int fd, const termios& before) : fd_(fd), before_(before) {
    termios hidden = before;
    hidden.c_lflag &= ~static_cast<tcflag_t>(ECHO);
    ::tcsetattr(fd, TCSAFLUSH, &hidden);
  }
  HiddenInput(const HiddenInput&) = delete;
  HiddenInput& operator=(const HiddenInput&) = delete;
  ~HiddenInput() { ::tcsetattr(fd_, TCSAFLUSH, &before_); }

 private:
  const int fd_;
  const termios before_;
};

StatusOr<std::string> ReadLine(int fd, const HeldSignals& signals) {
  std::string line;
  for (;;) {
    pollfd entries[] = {{.fd = fd, .events = POLLIN, .revents = 0},
                        {.fd = signals.fd(), .events = POLLIN, .revents = 0}};
    if (::poll(entries, 2, -1) < 0 && errno != EINTR) {
      return ErrnoError(errno, "poll");
    }
    if (entries[1].revents != 0) {
      (void)signals.Take();
      return MakeError(StatusCode::kCancelled, "interrupted");
    }
    if (entries[0].revents == 0) {
      continue;
    }
    char c = 0;
    const ssize_t count = ::read(fd, &c, 1);
    if (count < 0 && errno == EINTR) {
      continue;
    }
    if (count <= 0) {
      return MakeError(StatusCode::kCancelled, "nothing was entered");
    }
    if (c == '\n') {
      return line;
    }
    line += c;
  }
}

}  // namespace

StatusOr<std::string> AskOnTerminal(int fd, std::string_view prompt, Echo echo) {
  termios before{};
  if (::tcgetattr(fd, &before) != 0) {
    return ErrnoError(errno, "terminal");
  }
  FdSink terminal(fd);
  const HeldSignals signals({SIGINT, SIGTERM, SIGQUIT, SIGHUP, SIGTSTP});
  if (echo == Echo::kShown) {
    RETURN_IF_ERROR(terminal.Write(AsBytes(prompt)));
    return ReadLine(fd, signals);
  }
  const HiddenInput hidden(fd, before);
  RETURN_IF_ERROR(terminal.Write(AsBytes(prompt)));
  StatusOr<std::string> line = ReadLine(fd, signals);
  // The end of the line was not shown either.
  RETURN_IF_ERROR(terminal.Write(AsBytes("\n")));
  return line;
}

}  // namespace starling
