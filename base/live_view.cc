#include "base/live_view.h"

#include <poll.h>
#include <sys/ioctl.h>

#include <algorithm>
#include <cerrno>

#include "base/io.h"
#include "base/poll.h"

namespace starling {
namespace {

// ECMA-48 and xterm: the other screen without a cursor, and back; to the upper left corner; the
// rest of the line, and of the page, becomes empty.
constexpr std::string_view kEnter = "\x1b[?1049h\x1b[?25l";
constexpr std::string_view kLeave = "\x1b[?25h\x1b[?1049l";
constexpr std::string_view kHome = "\x1b[H";
constexpr std::string_view kClearLine = "\x1b[K";
constexpr std::string_view kClearBelow = "\x1b[J";

constexpr size_t kDefaultColumns = 80;
constexpr size_t kDefaultRows = 24;

winsize SizeOf(int fd) {
  winsize size{};
  (void)::ioctl(fd, TIOCGWINSZ, &size);
  return size;
}

}  // namespace

LiveView::LiveView(int in_fd, int out_fd)
    : in_fd_(::isatty(in_fd) != 0 ? in_fd : -1),
      out_fd_(out_fd),
      signals_({SIGINT, SIGTERM, SIGQUIT, SIGHUP, SIGTSTP, SIGWINCH}) {}

StatusOr<std::unique_ptr<LiveView>> LiveView::Open(int in_fd, int out_fd) {
  if (::isatty(out_fd) == 0) {
    return MakeError(StatusCode::kFailedPrecondition, "this is no terminal");
  }
  std::unique_ptr<LiveView> view(new LiveView(in_fd, out_fd));
  RETURN_IF_ERROR(view->Enter());
  return view;
}

LiveView::~LiveView() { Leave(); }

Status LiveView::Enter() {
  if (in_fd_ >= 0) {
    if (::tcgetattr(in_fd_, &before_) != 0) {
      return ErrnoError(errno, "terminal");
    }
    termios keys = before_;
    keys.c_lflag &= ~static_cast<tcflag_t>(ICANON | ECHO);
    keys.c_cc[VMIN] = 1;
    keys.c_cc[VTIME] = 0;
    if (::tcsetattr(in_fd_, TCSANOW, &keys) != 0) {
      return ErrnoError(errno, "terminal");
    }
  }
  is_entered_ = true;
  return FdSink(out_fd_).Write(AsBytes(kEnter));
}

void LiveView::Leave() {
  if (!is_entered_) {
    return;
  }
  is_entered_ = false;
  // The terminal may be gone, and then nothing is to be put back.
  (void)FdSink(out_fd_).Write(AsBytes(kLeave));
  if (in_fd_ >= 0) {
    ::tcsetattr(in_fd_, TCSANOW, &before_);
  }
}

StatusOr<LiveView::Event> LiveView::TakeSignal() {
  switch (signals_.Take()) {
    case 0:
    case SIGWINCH:
      return Event::kRedraw;
    case SIGTSTP:
      Leave();
      // Returns when somebody has us go on.
      ::raise(SIGSTOP);
      RETURN_IF_ERROR(Enter());
      return Event::kRedraw;
    default:
      return Event::kEnd;
  }
}

StatusOr<LiveView::Event> LiveView::Wait(std::chrono::steady_clock::time_point until) {
  pollfd entries[] = {{.fd = signals_.fd(), .events = POLLIN, .revents = 0},
                      {.fd = in_fd_, .events = POLLIN, .revents = 0}};
  ASSIGN_OR_RETURN(const bool is_ready, PollUntil(entries, until));
  if (!is_ready) {
    return Event::kTime;
  }
  if (entries[0].revents != 0) {
    return TakeSignal();
  }
  return ::read(in_fd_, &key_, 1) == 1 ? Event::kKey : Event::kEnd;
}

Status LiveView::Draw(const std::vector<std::string>& lines) {
  std::string page(kHome);
  const size_t count = std::min(lines.size(), rows());
  for (size_t i = 0; i < count; ++i) {
    page += lines[i];
    page += kClearLine;
    page += i + 1 < count ? "\r\n" : "";
  }
  page += kClearBelow;
  return FdSink(out_fd_).Write(AsBytes(page));
}

size_t LiveView::columns() const {
  const size_t columns = SizeOf(out_fd_).ws_col;
  return columns == 0 ? kDefaultColumns : columns;
}

size_t LiveView::rows() const {
  const size_t rows = SizeOf(out_fd_).ws_row;
  return rows == 0 ? kDefaultRows : rows;
}

std::string FitColumns(std::string_view text, size_t columns) {
  size_t characters = 0;
  for (size_t i = 0; i < text.size(); ++i) {
    const bool begins_one = (static_cast<unsigned char>(text[i]) & 0xc0) != 0x80;
    characters += begins_one ? 1 : 0;
    if (characters > columns) {
      return std::string(text.substr(0, i));
    }
  }
  return std::string(text);
}

}  // namespace starling
