#pragma once

#include <chrono>
#include <cstdio>
#include <deque>
#include <map>
#include <memory>
#include <string>
#include <vector>

#include "base/clock.h"
#include "base/mutex.h"
#include "base/progress.h"
#include "dockerfile/build/builder.h"

namespace starling::cli {

enum class BuildProgress { kTerminal, kPlain, kQuiet, kJson };
/// "auto" (a terminal's view on one, else plain), "tty", "plain", "quiet", "json" or "rawjson".
StatusOr<BuildProgress> ParseBuildProgress(std::string_view text, std::FILE* out);

/// Shows how a build gets on, the way BuildKit's clients do: lines that begin with a step's number,
/// or a view of the steps under way that moves. Keeps the end of what each step has printed.
/// Threads: safe.
class BuildDisplay : public dockerfile::build::BuildListener, public Progress {
 public:
  /// Borrows `out`, the graph and the clock.
  BuildDisplay(std::FILE* out, BuildProgress mode, const dockerfile::plan::Graph& graph,
               Clock& clock);
  ~BuildDisplay() override;

  void OnStart(dockerfile::plan::NodeId node) override;
  void OnCached(dockerfile::plan::NodeId node) override;
  void OnOutput(dockerfile::plan::NodeId node, runc::Stream stream, std::string_view text) override;
  void OnDone(dockerfile::plan::NodeId node) override;
  void OnFailed(dockerfile::plan::NodeId node, const Status& why) override;

  // Of layers that are brought.
  void Begin(const std::string& part, uint64_t total) override;
  void Advance(const std::string& part, uint64_t amount) override;
  void End(const std::string& part, const std::string& outcome) override;

  /// The last lines that a step has printed.
  std::vector<std::string> LogTail(dockerfile::plan::NodeId node);

 private:
  struct Step {
    size_t number = 0;
    std::chrono::steady_clock::time_point started;
    std::string partial_line;
    std::deque<std::string> tail;
    bool running = false;
  };
  Step& Find(dockerfile::plan::NodeId node) EXCLUSIVE_LOCKS_REQUIRED(mutex_);
  void Line(const Step& step, const std::string& text) EXCLUSIVE_LOCKS_REQUIRED(mutex_);
  void Finish(dockerfile::plan::NodeId node, const std::string& state)
      EXCLUSIVE_LOCKS_REQUIRED(mutex_);
  void Log(dockerfile::plan::NodeId node, Step& step, std::string line)
      EXCLUSIVE_LOCKS_REQUIRED(mutex_);
  void Event(dockerfile::plan::NodeId node, const char* what, const std::string& text)
      EXCLUSIVE_LOCKS_REQUIRED(mutex_);
  void Erase() EXCLUSIVE_LOCKS_REQUIRED(mutex_);
  void Draw(bool now) EXCLUSIVE_LOCKS_REQUIRED(mutex_);
  std::string Title(dockerfile::plan::NodeId node) const;
  double Seconds(const Step& step) const;

  std::FILE* const out_;
  const BuildProgress mode_;
  const dockerfile::plan::Graph& graph_;
  Clock& clock_;
  const std::chrono::steady_clock::time_point begun_;
  size_t columns_ = 80;
  Mutex mutex_;  // leaf
  std::map<dockerfile::plan::NodeId, Step> steps_ GUARDED_BY(mutex_);
  std::map<std::string, std::pair<uint64_t, uint64_t>> layers_ GUARDED_BY(mutex_);
  unsigned shown_percent_ GUARDED_BY(mutex_) = 0;
  size_t drawn_lines_ GUARDED_BY(mutex_) = 0;
  std::chrono::steady_clock::time_point last_drawn_ GUARDED_BY(mutex_);
};

}  // namespace starling::cli
