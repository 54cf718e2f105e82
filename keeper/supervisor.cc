#include "keeper/supervisor.h"

#include <csignal>

#include "base/log.h"

namespace starling::keeper {
namespace {

constexpr int kExitFailure = 1;
/// So many deaths in a row are a loop, of which the operator should know.
constexpr int kDeathsOfALoop = 4;

std::chrono::milliseconds Milliseconds(std::chrono::steady_clock::duration duration) {
  return std::chrono::duration_cast<std::chrono::milliseconds>(duration);
}

std::string Reloading(const Clock& clock) {
  const auto now =
      std::chrono::duration_cast<std::chrono::microseconds>(clock.Now().time_since_epoch());
  return fmt::format("RELOADING=1\nMONOTONIC_USEC={}", now.count());
}

}  // namespace

void Supervisor::Start(bool has_mounts) {
  has_mounts_ = has_mounts;
  StartServer();
}

void Supervisor::Resume(std::optional<pid_t> server) {
  has_mounts_ = true;
  server_ = server;
  if (!server_) {
    StartServer();
    return;
  }
  started_ = clock_.Now();
  phase_ = Phase::kHandingOver;
  deadline_ = clock_.Now() + kPatience;
  actions_.SendSignal(*server_, SIGHUP);
}

void Supervisor::StartServer() {
  deadline_.reset();
  is_ready_ = false;
  phase_ = Phase::kServing;
  started_ = clock_.Now();
  const StatusOr<pid_t> server = actions_.StartServer();
  if (server.ok()) {
    server_ = *server;
    return;
  }
  log::Error("the server cannot be started", {{"error", Describe(server.status())}});
  if (!has_mounts_) {
    exit_code_ = kExitFailure;
    return;
  }
  StartLater(/*has_served=*/false);
}

void Supervisor::StartLater(bool has_served) {
  const auto delay = backoff_.Next(Milliseconds(clock_.Now() - started_), has_served);
  LogLoop(delay);
  if (delay.count() == 0) {
    StartServer();
    return;
  }
  deadline_ = clock_.Now() + delay;
}

void Supervisor::LogLoop(std::chrono::milliseconds delay) const {
  // Once a doubling is often enough.
  const int deaths = backoff_.deaths();
  if (deaths >= kDeathsOfALoop && (deaths & (deaths - 1)) == 0) {
    log::Error(
        "the server dies again and again; mounts are kept, and reads that need it wait",
        {{"deaths", std::to_string(deaths)}, {"next-start-in-ms", std::to_string(delay.count())}});
  }
}

void Supervisor::OnReady() {
  is_ready_ = true;
  has_mounts_ = true;
  actions_.Notify("READY=1");
}

void Supervisor::OnServerEnded(const ServerEnd& end) {
  server_.reset();
  deadline_.reset();
  if (phase_ == Phase::kStopping) {
    exit_code_ = end.exit_code.value_or(kExitFailure);
    return;
  }
  if (phase_ == Phase::kHandingOver) {
    backoff_.Reset();
    StartServer();
    return;
  }
  if (!has_mounts_) {
    // It has said why, and nobody depends on it yet.
    exit_code_ = end.exit_code.value_or(kExitFailure);
    return;
  }
  log::Error("the server has died; its mounts are kept for the next one",
             {{"how", end.description},
              {"after-ms", std::to_string(Milliseconds(clock_.Now() - started_).count())}});
  StartLater(is_ready_);
}

void Supervisor::OnStop() {
  if (phase_ != Phase::kStopping) {
    actions_.Notify("STOPPING=1");
  }
  phase_ = Phase::kStopping;
  if (!server_) {
    // What is mounted ends with this process; the next start clears it away.
    exit_code_ = 0;
    return;
  }
  deadline_ = clock_.Now() + kPatience;
  actions_.SendSignal(*server_, SIGTERM);
}

void Supervisor::OnReload() {
  if (phase_ != Phase::kServing) {
    return;
  }
  actions_.Notify(Reloading(clock_));
  Status status = actions_.CheckSuccessor();
  if (status.ok()) {
    status = actions_.Become();
  }
  log::Error("the program on the disk does not take over; this one goes on",
             {{"error", Describe(status)}});
  actions_.Notify("READY=1");
}

void Supervisor::OnTime() {
  deadline_.reset();
  if (!server_) {
    StartServer();
    return;
  }
  log::Error("the server does not end by itself and is killed");
  actions_.SendSignal(*server_, SIGKILL);
}

}  // namespace starling::keeper
