#pragma once

#include <sys/types.h>

#include <chrono>
#include <optional>
#include <string>

#include "base/clock.h"
#include "base/status.h"
#include "keeper/backoff.h"

namespace starling::keeper {

/// What the supervisor does to the world.
class Actions {
 public:
  virtual ~Actions() = default;
  /// Starts a server with what is kept. Returns its id.
  virtual StatusOr<pid_t> StartServer() = 0;
  virtual void SendSignal(pid_t server, int signal) = 0;
  /// Asks the program on the disk whether it could take over from this one. OK: it could.
  virtual Status CheckSuccessor() = 0;
  /// Becomes the program on the disk; returns only when that fails.
  virtual Status Become() = 0;
  /// Tells the service manager.
  virtual void Notify(const std::string& state) = 0;
};

/// How a server's process ended.
struct ServerEnd {
  std::optional<int> exit_code;  // none: by a signal, or not known
  std::string description;       // for the log: "exit code 1", "signal 9"
};

/// Decides what becomes of the server: whether and when it is started, stopped and replaced. Makes
/// no system call itself. Threads: one at a time.
class Supervisor {
 public:
  /// A server that was told to hand over or to stop and does not end is killed after this.
  static constexpr std::chrono::seconds kPatience{15};

  Supervisor(Actions& actions, const Clock& clock) : actions_(actions), clock_(clock) {}

  /// Begins. `has_mounts`: an earlier keeper left some, so a server that cannot start is no reason
  /// to end.
  void Start(bool has_mounts);
  /// Begins in the place of a keeper that became this program: its server, if it had one, hands
  /// over to a new one.
  void Resume(std::optional<pid_t> server);

  void OnReady();
  void OnServerEnded(const ServerEnd& end);
  /// SIGTERM or SIGINT: the server ends and takes the mounts with it. The second one ends it at
  /// once.
  void OnStop();
  /// SIGHUP: the program on the disk takes over.
  void OnReload();
  /// To be called at `deadline`.
  void OnTime();

  /// When something is to be done by itself.
  std::optional<std::chrono::steady_clock::time_point> deadline() const { return deadline_; }
  /// Set once the keeper is to end.
  std::optional<int> exit_code() const { return exit_code_; }
  std::optional<pid_t> server() const { return server_; }

 private:
  enum class Phase { kServing, kHandingOver, kStopping };

  void StartServer();
  void StartLater(bool has_served);
  void LogLoop(std::chrono::milliseconds delay) const;

  Actions& actions_;
  const Clock& clock_;
  Backoff backoff_;
  Phase phase_ = Phase::kServing;
  std::optional<pid_t> server_;
  std::chrono::steady_clock::time_point started_;
  bool is_ready_ = false;    // this server
  bool has_mounts_ = false;  // of some server, for containers
  std::optional<std::chrono::steady_clock::time_point> deadline_;
  std::optional<int> exit_code_;
};

}  // namespace starling::keeper
