#include <unistd.h>

#include <cstdio>
#include <memory>
#include <nlohmann/json.hpp>
#include <optional>
#include <thread>

#include "apps/starling/commands.h"
#include "apps/starling/status_text.h"
#include "base/clock.h"
#include "base/live_view.h"
#include "base/size_text.h"
#include "base/text.h"
#include "control/remote_status.h"
#include "inspect/status_json.h"
#include "layer/activity.h"

namespace starling::cli {
namespace {

using Json = nlohmann::ordered_json;
using layer::ImageActivity;
using std::chrono::steady_clock;

/// On the page, for each image.
constexpr size_t kShownReads = 3;

struct Arguments {
  StatusPlace place;
  double interval_sec = 1;
  std::optional<uint64_t> count;
  bool json = false;

  steady_clock::duration interval() const {
    return std::chrono::duration_cast<steady_clock::duration>(
        std::chrono::duration<double>(interval_sec));
  }
};

/// What is known at one moment.
struct Moment {
  std::chrono::system_clock::time_point time;
  double seconds = 0;  // since the moment before
  std::vector<ImageActivity> images;
};

/// Looks again and again at one process, also when another takes its place.
class Watch {
 public:
  explicit Watch(const std::string& socket) : source_(control::ConnectToStatus(socket)) {}

  StatusOr<Moment> Look() {
    ASSIGN_OR_RETURN(layer::Look look, layer::LookAt(*source_, SystemClock()));
    const layer::Look& before = last_ ? *last_ : look;
    Moment moment{.time = look.wall_time,
                  .seconds = std::chrono::duration<double>(look.time - before.time).count(),
                  .images = layer::ActivityBetween(before, look)};
    last_ = std::move(look);
    return moment;
  }

 private:
  const std::unique_ptr<layer::StatusSource> source_;
  std::optional<layer::Look> last_;
};

std::string NameOf(const ImageActivity& image) {
  return image.name.empty() ? "(layers whose image is not known)" : Shown(image.name);
}

uint64_t PerSecond(uint64_t bytes, double seconds) {
  return seconds > 0 ? static_cast<uint64_t>(static_cast<double>(bytes) / seconds) : 0;
}

std::vector<std::string> ReadLines(const ImageActivity& image) {
  std::vector<std::string> lines;
  lines.reserve(image.longest_waits.size() + image.slow_reads.size());
  for (const layer::NamedWait& wait : image.longest_waits) {
    lines.push_back(
        fmt::format("  {:>8}  waits    {}", TimeText(wait.read.waited), Shown(FileText(wait))));
  }
  for (const layer::NamedRead& named : image.slow_reads) {
    lines.push_back(fmt::format("  {:>8}  {:<7}  {}{}", TimeText(named.read.times.total()),
                                layer::NameOf(named.read.times.cause()), Shown(FileText(named)),
                                named.read.failed ? " (failed)" : ""));
  }
  lines.resize(std::min(lines.size(), kShownReads));
  return lines;
}

/// The page of a terminal.
std::vector<std::string> PageOf(const Moment& moment, const std::string& socket,
                                const std::string& problem, size_t columns) {
  uint64_t waiting_reads = 0;
  for (const ImageActivity& image : moment.images) {
    waiting_reads += image.waiting_reads;
  }
  std::vector<std::string> lines = {
      fmt::format("starling top (q quits)  {}  {} images, {} reads wait  {}",
                  inspect::FormatTimestamp(moment.time), moment.images.size(), waiting_reads,
                  Shown(socket)),
      Shown(problem),
      fmt::format("{:>10} {:>10} {:>10} {:>12} {:>5} {:>7} {:>8}  {}", "HELD", "OF", "NEEDED",
                  "NETWORK/S", "WAIT", "WAITED", "TIME", "IMAGE")};
  for (const ImageActivity& image : moment.images) {
    lines.push_back(
        fmt::format("{:>10} {:>10} {:>10} {:>12} {:>5} {:>7} {:>8}  {}", SizeText(image.held_bytes),
                    SizeText(image.total_bytes), SizeText(image.needed_bytes),
                    SizeText(PerSecond(image.fetched_bytes, moment.seconds)), image.waiting_reads,
                    image.stalled_reads, TimeText(image.stall_time), NameOf(image)));
    const std::vector<std::string> reads = ReadLines(image);
    lines.insert(lines.end(), reads.begin(), reads.end());
  }
  for (std::string& line : lines) {
    line = FitColumns(line, columns);
  }
  return lines;
}

/// A line for each image, and one for each read.
void PrintPlain(const Moment& moment) {
  const std::string time = inspect::FormatTimestamp(moment.time);
  for (const ImageActivity& image : moment.images) {
    std::printf(
        "%s  %s: %s held of %s, %s needed; %s came, %llu reads wait, %llu waited %s\n",
        time.c_str(), NameOf(image).c_str(), SizeText(image.held_bytes).c_str(),
        SizeText(image.total_bytes).c_str(), SizeText(image.needed_bytes).c_str(),
        SizeText(image.fetched_bytes).c_str(), static_cast<unsigned long long>(image.waiting_reads),
        static_cast<unsigned long long>(image.stalled_reads), TimeText(image.stall_time).c_str());
    for (const std::string& line : ReadLines(image)) {
      std::printf("%s\n", line.c_str());
    }
  }
  if (moment.images.empty()) {
    std::printf("%s  no layers are shown\n", time.c_str());
  }
}

void PrintJson(const Moment& moment) {
  const Json json = {{"time", inspect::FormatTimestamp(moment.time)},
                     {"seconds", moment.seconds},
                     {"images", inspect::ToJson(moment.images)}};
  std::printf("%s\n", json.dump(-1, ' ', false, Json::error_handler_t::replace).c_str());
}

/// Whether the output is still wanted, and wanted more of.
bool GoesOn(const Arguments& arguments, uint64_t shown) {
  return std::fflush(stdout) == 0 && (!arguments.count || shown < *arguments.count);
}

Status ShowLines(const Arguments& arguments, const std::string& socket) {
  Watch watch(socket);
  RETURN_IF_ERROR(watch.Look().status());
  steady_clock::time_point next = steady_clock::now();
  for (uint64_t shown = 0; GoesOn(arguments, shown); ++shown) {
    next += arguments.interval();
    std::this_thread::sleep_until(next);
    const StatusOr<Moment> moment = watch.Look();
    if (!moment.ok()) {
      std::fprintf(stderr, "starling top: %s\n", Describe(moment.status()).c_str());
    } else if (arguments.json) {
      PrintJson(*moment);
    } else {
      PrintPlain(*moment);
    }
  }
  return OkStatus();
}

/// Until `until`: draws the page again when it must be. True when the view is to end.
StatusOr<bool> Stay(LiveView& view, steady_clock::time_point until,
                    const std::function<Status()>& draw) {
  for (;;) {
    ASSIGN_OR_RETURN(const LiveView::Event event, view.Wait(until));
    switch (event) {
      case LiveView::Event::kTime:
        return false;
      case LiveView::Event::kEnd:
        return true;
      case LiveView::Event::kRedraw:
        RETURN_IF_ERROR(draw());
        break;
      case LiveView::Event::kKey:
        if (view.key() == 'q' || view.key() == 'Q') {
          return true;
        }
        break;
    }
  }
}

Status ShowPage(const Arguments& arguments, const std::string& socket) {
  std::unique_ptr<Watch> watch;
  ASSIGN_OR_RETURN(const std::unique_ptr<LiveView> view,
                   LiveView::Open(STDIN_FILENO, STDOUT_FILENO));
  // After the view, whose signals its threads must not take.
  watch = std::make_unique<Watch>(socket);
  Moment moment;
  std::string problem;
  const auto draw = [&] { return view->Draw(PageOf(moment, socket, problem, view->columns())); };
  steady_clock::time_point next = steady_clock::now();
  for (uint64_t shown = 0; !arguments.count || shown < *arguments.count; ++shown) {
    StatusOr<Moment> now = watch->Look();
    if (!now.ok() && shown == 0) {
      return now.status();
    }
    problem = now.ok() ? "" : Describe(now.status());
    if (now.ok()) {
      moment = *std::move(now);
    }
    RETURN_IF_ERROR(draw());
    next += arguments.interval();
    ASSIGN_OR_RETURN(const bool is_over, Stay(*view, next, draw));
    if (is_over) {
      break;
    }
  }
  return OkStatus();
}

Status Top(const Arguments& arguments) {
  ASSIGN_OR_RETURN(const std::string socket, SocketOf(arguments.place));
  return ::isatty(STDOUT_FILENO) != 0 && !arguments.json ? ShowPage(arguments, socket)
                                                         : ShowLines(arguments, socket);
}

}  // namespace

void AddTop(CLI::App& app, Run& chosen) {
  const auto arguments = std::make_shared<Arguments>();
  CLI::App& command = *app.add_subcommand(
      "top", "What images fetch and what their reads wait for, again and again");
  command.add_option("--interval", arguments->interval_sec, "Seconds from one look to the next")
      ->check(CLI::Range(0.05, 3600.0))
      ->capture_default_str();
  command.add_option("--count", arguments->count, "End after so many looks")
      ->check(CLI::Range(uint64_t{1}, uint64_t{1} << 40));
  command.add_flag("--json", arguments->json, "Print JSON, a line for each look");
  AddStatusPlace(command, arguments->place);
  command.footer(
      "A page on a terminal, which q ends; else lines.\n"
      "Example: starling top --interval 5");
  command.callback([arguments, &chosen] { chosen = [arguments] { return Top(*arguments); }; });
}

}  // namespace starling::cli
