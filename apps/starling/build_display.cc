#include "apps/starling/build_display.h"

#include <sys/ioctl.h>
#include <unistd.h>

#include <algorithm>
#include <nlohmann/json.hpp>

#include "base/text.h"

namespace starling::cli {
namespace {

using dockerfile::plan::NodeId;

constexpr std::chrono::milliseconds kRedrawInterval(100);
constexpr size_t kTailLines = 20;
constexpr size_t kShownLogLines = 6;
constexpr size_t kMaxLineBytes = 16 << 10;
/// A step of percent that is worth a line of its own.
constexpr unsigned kPercentStep = 10;

/// Without what would move the cursor about.
std::string Printable(std::string_view line) {
  std::string text;
  for (const char c : line) {
    if (c == '\t' || static_cast<unsigned char>(c) >= 0x20) {
      text += c;
    }
  }
  return text;
}

}  // namespace

StatusOr<BuildProgress> ParseBuildProgress(std::string_view text, std::FILE* out) {
  if (text == "auto") {
    return ::isatty(::fileno(out)) == 1 ? BuildProgress::kTerminal : BuildProgress::kPlain;
  }
  if (text == "tty") {
    return BuildProgress::kTerminal;
  }
  if (text == "plain") {
    return BuildProgress::kPlain;
  }
  if (text == "quiet") {
    return BuildProgress::kQuiet;
  }
  if (text == "json" || text == "rawjson") {
    return BuildProgress::kJson;
  }
  return MakeError(
      StatusCode::kInvalidArgument,
      fmt::format("--progress: '{}' is not one of auto, tty, plain, quiet, json", text));
}

BuildDisplay::BuildDisplay(std::FILE* out, BuildProgress mode, const dockerfile::plan::Graph& graph,
                           Clock& clock)
    : out_(out), mode_(mode), graph_(graph), clock_(clock), begun_(clock.Now()) {
  winsize size{};
  if (::ioctl(::fileno(out), TIOCGWINSZ, &size) == 0 && size.ws_col > 0) {
    columns_ = size.ws_col;
  }
}

BuildDisplay::~BuildDisplay() {
  MutexLock lock(mutex_);
  Erase();
}

BuildDisplay::Step& BuildDisplay::Find(NodeId node) {
  const auto [at, is_new] = steps_.try_emplace(node);
  if (is_new) {
    at->second.number = steps_.size();
  }
  return at->second;
}

std::string BuildDisplay::Title(NodeId node) const { return Printable(graph_.nodes[node].title); }

double BuildDisplay::Seconds(const Step& step) const {
  return std::chrono::duration<double>(clock_.Now() - step.started).count();
}

void BuildDisplay::Event(NodeId node, const char* what, const std::string& text) {
  nlohmann::ordered_json event = {
      {"time", std::chrono::duration<double>(clock_.Now() - begun_).count()},
      {"step", steps_[node].number},
      {"event", what}};
  if (std::string_view(what) == "start" || std::string_view(what) == "cached") {
    event["title"] = graph_.nodes[node].title;
    event["line"] = graph_.nodes[node].range.begin.line;
  }
  if (!text.empty()) {
    event["text"] = text;
  }
  std::fprintf(out_, "%s\n",
               event.dump(-1, ' ', false, nlohmann::json::error_handler_t::replace).c_str());
  std::fflush(out_);
}

void BuildDisplay::Line(const Step& step, const std::string& text) {
  if (mode_ == BuildProgress::kPlain) {
    std::fprintf(out_, "#%zu %s\n", step.number, text.c_str());
    std::fflush(out_);
  }
}

void BuildDisplay::OnStart(NodeId node) {
  MutexLock lock(mutex_);
  Step& step = Find(node);
  step.started = clock_.Now();
  step.running = true;
  if (mode_ == BuildProgress::kJson) {
    Event(node, "start", "");
  }
  Line(step, Title(node));
  if (const auto* image =
          std::get_if<dockerfile::plan::ImageSource>(&graph_.nodes[node].operation)) {
    layers_.clear();
    shown_percent_ = 0;
    Line(step, fmt::format("=> Step 0: FROM {}", image->reference));
  }
  Draw(/*now=*/true);
}

void BuildDisplay::OnCached(NodeId node) {
  MutexLock lock(mutex_);
  Step& step = Find(node);
  step.started = clock_.Now();
  if (mode_ == BuildProgress::kJson) {
    Event(node, "cached", "");
  }
  Line(step, Title(node));
  Finish(node, "CACHED");
}

void BuildDisplay::Log(NodeId node, Step& step, std::string line) {
  step.tail.push_back(line);
  if (step.tail.size() > kTailLines) {
    step.tail.pop_front();
  }
  if (mode_ == BuildProgress::kJson) {
    Event(node, "log", line);
  }
  Line(step, fmt::format("{:.3f} {}", Seconds(step), line));
}

void BuildDisplay::OnOutput(NodeId node, runc::Stream /*stream*/, std::string_view text) {
  MutexLock lock(mutex_);
  Step& step = Find(node);
  while (!text.empty()) {
    const size_t end = text.find_first_of("\r\n");
    step.partial_line += text.substr(0, end);
    if (end == std::string_view::npos && step.partial_line.size() < kMaxLineBytes) {
      break;
    }
    text.remove_prefix(end == std::string_view::npos ? text.size() : end + 1);
    if (!step.partial_line.empty()) {
      Log(node, step, Printable(std::exchange(step.partial_line, {})));
    }
  }
  Draw(/*now=*/false);
}

void BuildDisplay::Finish(NodeId node, const std::string& state) {
  Step& step = steps_[node];
  step.running = false;
  Line(step, state);
  if (mode_ == BuildProgress::kPlain) {
    std::fprintf(out_, "\n");
  } else if (mode_ == BuildProgress::kTerminal) {
    Erase();
    std::fprintf(out_, "%s\n",
                 fmt::format(" {} {}", state, Title(node)).substr(0, columns_).c_str());
    Draw(/*now=*/true);
  }
  std::fflush(out_);
}

void BuildDisplay::OnDone(NodeId node) {
  MutexLock lock(mutex_);
  Step& step = Find(node);
  if (!step.partial_line.empty()) {
    Log(node, step, Printable(std::exchange(step.partial_line, {})));
  }
  if (std::holds_alternative<dockerfile::plan::ImageSource>(graph_.nodes[node].operation)) {
    Line(step, fmt::format("Using estargz to speed up image pull (index loaded in {:.2f}s)...",
                           Seconds(step)));
  }
  if (mode_ == BuildProgress::kJson) {
    Event(node, "done", "");
  }
  Finish(node, fmt::format("DONE {:.1f}s", Seconds(step)));
}

void BuildDisplay::OnFailed(NodeId node, const Status& why) {
  MutexLock lock(mutex_);
  Step& step = Find(node);
  if (!step.partial_line.empty()) {
    Log(node, step, Printable(std::exchange(step.partial_line, {})));
  }
  const bool is_stopped = why.code() == StatusCode::kCancelled;
  if (mode_ == BuildProgress::kJson) {
    Event(node, is_stopped ? "canceled" : "error", std::string(MessageOf(why)));
  }
  Finish(node, is_stopped ? "CANCELED" : fmt::format("ERROR: {}", MessageOf(why)));
}

void BuildDisplay::Begin(const std::string& part, uint64_t total) {
  MutexLock lock(mutex_);
  layers_[part] = {0, total};
}

void BuildDisplay::Advance(const std::string& part, uint64_t amount) {
  MutexLock lock(mutex_);
  layers_[part].first += amount;
  uint64_t done = 0;
  uint64_t total = 0;
  for (const auto& [name, bytes] : layers_) {
    done += bytes.first;
    total += bytes.second;
  }
  const unsigned percent =
      total == 0 ? 0 : static_cast<unsigned>(std::min<uint64_t>(100, done * 100 / total));
  if (percent < shown_percent_ + kPercentStep) {
    return;
  }
  shown_percent_ = percent / kPercentStep * kPercentStep;
  for (auto& [node, step] : steps_) {
    if (step.running &&
        std::holds_alternative<dockerfile::plan::ImageSource>(graph_.nodes[node].operation)) {
      Line(step, fmt::format("Progress: {}% complete... ({:.2f}s elapsed)", shown_percent_,
                             Seconds(step)));
      return;
    }
  }
}

void BuildDisplay::End(const std::string& /*part*/, const std::string& /*outcome*/) {}

void BuildDisplay::Erase() {
  if (drawn_lines_ > 0) {
    std::fprintf(out_, "\x1b[%zuA\x1b[J", drawn_lines_);
    drawn_lines_ = 0;
  }
}

void BuildDisplay::Draw(bool now) {
  if (mode_ != BuildProgress::kTerminal || (!now && clock_.Now() - last_drawn_ < kRedrawInterval)) {
    return;
  }
  last_drawn_ = clock_.Now();
  Erase();
  std::string text;
  for (const auto& [node, step] : steps_) {
    if (!step.running) {
      continue;
    }
    text += fmt::format(" => {} {:.1f}s", Title(node), Seconds(step)).substr(0, columns_) + "\n";
    ++drawn_lines_;
    const size_t first = step.tail.size() > kShownLogLines ? step.tail.size() - kShownLogLines : 0;
    for (size_t i = first; i < step.tail.size(); ++i) {
      text += ("    " + step.tail[i]).substr(0, columns_) + "\n";
      ++drawn_lines_;
    }
  }
  std::fwrite(text.data(), 1, text.size(), out_);
  std::fflush(out_);
}

std::vector<std::string> BuildDisplay::LogTail(NodeId node) {
  MutexLock lock(mutex_);
  const Step& step = Find(node);
  return {step.tail.begin(), step.tail.end()};
}

}  // namespace starling::cli
