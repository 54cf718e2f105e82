#include "apps/starling/recorded_run.h"

#include <pthread.h>
#include <signal.h>

#include "base/clock.h"
#include "base/file_system.h"
#include "base/temp_dir.h"
#include "layer/access_recorder.h"
#include "mount/image_mount.h"
#include "oci/image_store.h"

namespace starling::cli {
void LeaveStopSignalsToCommand() {
  sigset_t signals;
  sigemptyset(&signals);
  sigaddset(&signals, SIGTERM);
  sigaddset(&signals, SIGINT);
  pthread_sigmask(SIG_BLOCK, &signals, nullptr);
}

StatusOr<RecordedRun> RecordRun(const std::shared_ptr<oci::ImageSource>& source,
                                const RecordOptions& options) {
  ASSIGN_OR_RETURN(const TempDir view, TempDir::Make("/tmp", "starling-record-"));
  const auto recorder = std::make_shared<layer::AccessRecorder>(SystemClock());
  ASSIGN_OR_RETURN(const std::unique_ptr<mount::ImageMount> shown,
                   mount::ImageMount::Start({.root = options.root,
                                             .directory = view.path(),
                                             .platform = options.platform,
                                             .gzip_indexes = options.gzip_indexes,
                                             .recorder = recorder},
                                            source, RealFileSystem()));
  ASSIGN_OR_RETURN(const oci::ImageConfig config,
                   oci::ReadConfig(*source, shown->image().manifest.config));
  ASSIGN_OR_RETURN(
      const mount::CommandEnd end,
      mount::RunInImage({.image = view.path(),
                         .arguments = options.command.empty() ? config.command() : options.command,
                         .environment = config.environment(),
                         .working_directory = config.working_directory()},
                        options.until));
  ASSIGN_OR_RETURN(layer::AccessProfile profile,
                   recorder->Snapshot(shown->image().raw_manifest.digest));
  return RecordedRun{
      .profile = std::move(profile),
      .end = end,
      .command = options.command.empty() ? "the image's command" : options.command.front()};
}

Status CheckEnd(const RecordedRun& run, std::string_view consequence) {
  if (run.end.was_reached || run.end.exit_code == 0) {
    return OkStatus();
  }
  return MakeError(StatusCode::kAborted, fmt::format("{} ended with exit code {}; {}", run.command,
                                                     run.end.exit_code, consequence));
}

}  // namespace starling::cli
