#pragma once

#include <termios.h>

#include <chrono>
#include <memory>
#include <string>
#include <vector>

#include "base/held_signals.h"
#include "base/status.h"

namespace starling {

/// A terminal as a page that is drawn again and again, with keys that count at once. It is as
/// before when the object goes, and while the process is stopped by the terminal's user. Made
/// before other threads start. Threads: one.
class LiveView {
 public:
  /// `out_fd` is a terminal; keys come from `in_fd` if that is one, too. Both outlive the view.
  static StatusOr<std::unique_ptr<LiveView>> Open(int in_fd, int out_fd);
  ~LiveView();

  enum class Event {
    kTime,    // nothing else happened until then
    kKey,     // key() was pressed
    kRedraw,  // the terminal has another size, or shows nothing of the page any more
    kEnd,     // a signal that ends processes, or the terminal is gone
  };
  StatusOr<Event> Wait(std::chrono::steady_clock::time_point until);
  char key() const { return key_; }

  /// Shows the first lines, as many as there are rows. Lines are no longer than columns().
  Status Draw(const std::vector<std::string>& lines);
  size_t columns() const;
  size_t rows() const;

 private:
  LiveView(int in_fd, int out_fd);
  Status Enter();
  void Leave();
  StatusOr<Event> TakeSignal();

  const int in_fd_;  // -1: no keys
  const int out_fd_;
  const HeldSignals signals_;
  termios before_{};
  bool is_entered_ = false;
  char key_ = 0;
};

/// The first `columns` characters of `text`, which is UTF-8 or not.
std::string FitColumns(std::string_view text, size_t columns);

}  // namespace starling
