#include "apps/starling/progress_display.h"

#include <sys/ioctl.h>
#include <unistd.h>

#include "base/size_text.h"

namespace starling::cli {
namespace {

constexpr std::chrono::milliseconds kRedrawInterval(100);
constexpr size_t kBarColumns = 24;

}  // namespace

void PlainProgress::Begin(const std::string& part, uint64_t) {
  MutexLock lock(mutex_);
  done_bytes_[part] = 0;
}

void PlainProgress::Advance(const std::string& part, uint64_t amount) {
  MutexLock lock(mutex_);
  done_bytes_[part] += amount;
}

void PlainProgress::End(const std::string& part, const std::string& outcome) {
  MutexLock lock(mutex_);
  const uint64_t bytes = done_bytes_[part];
  done_bytes_.erase(part);
  std::fprintf(out_, "%s: %s%s\n", part.c_str(), outcome.c_str(),
               bytes == 0 ? "" : (", " + SizeText(bytes)).c_str());
  std::fflush(out_);
}

TerminalProgress::~TerminalProgress() {
  MutexLock lock(mutex_);
  // What is as it was drawn may have other lines below it by now.
  if (!is_drawn_) {
    last_drawn_ = {};
    Draw();
  }
}

TerminalProgress::Part& TerminalProgress::Find(const std::string& name) {
  for (Part& part : parts_) {
    if (part.name == name) {
      return part;
    }
  }
  return parts_.emplace_back(Part{.name = name});
}

void TerminalProgress::Begin(const std::string& part, uint64_t total) {
  MutexLock lock(mutex_);
  Find(part).total_bytes = total;
  Draw();
}

void TerminalProgress::Advance(const std::string& part, uint64_t amount) {
  MutexLock lock(mutex_);
  Find(part).done_bytes += amount;
  Draw();
}

void TerminalProgress::End(const std::string& part, const std::string& outcome) {
  MutexLock lock(mutex_);
  Find(part).outcome = outcome;
  last_drawn_ = {};
  Draw();
}

std::string TerminalProgress::LineOf(const Part& part) const {
  std::string state;
  if (!part.outcome.empty()) {
    state = part.outcome;
  } else if (part.total_bytes != 0) {
    const uint64_t done_bytes = std::min(part.done_bytes, part.total_bytes);
    const auto filled = static_cast<size_t>(done_bytes * kBarColumns / part.total_bytes);
    state = fmt::format("[{:<{}}] {} of {}", std::string(filled, '='), kBarColumns,
                        SizeText(done_bytes), SizeText(part.total_bytes));
  } else {
    state = part.done_bytes == 0 ? "..." : SizeText(part.done_bytes);
  }
  return fmt::format("{:<24.24} {}", part.name, state).substr(0, columns_);
}

void TerminalProgress::Draw() {
  const auto now = clock_.Now();
  is_drawn_ = now - last_drawn_ >= kRedrawInterval;
  if (!is_drawn_) {
    return;
  }
  last_drawn_ = now;
  std::string text;
  if (lines_drawn_ > 0) {
    text += fmt::format("\x1b[{}A", lines_drawn_);
  }
  for (const Part& part : parts_) {
    text += "\r\x1b[K" + LineOf(part) + "\n";
  }
  lines_drawn_ = parts_.size();
  std::fwrite(text.data(), 1, text.size(), out_);
  std::fflush(out_);
}

std::unique_ptr<Progress> MakeProgress(std::FILE* out, Quiet quiet) {
  if (quiet == Quiet::kYes) {
    return std::make_unique<NoProgress>();
  }
  winsize size{};
  if (::isatty(::fileno(out)) == 1 && ::ioctl(::fileno(out), TIOCGWINSZ, &size) == 0 &&
      size.ws_col > 0) {
    return std::make_unique<TerminalProgress>(out, size.ws_col, SystemClock());
  }
  return std::make_unique<PlainProgress>(out);
}

}  // namespace starling::cli
