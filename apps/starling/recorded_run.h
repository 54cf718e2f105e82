/// What commands share that run an image and note what it reads.
#pragma once

#include <filesystem>
#include <memory>
#include <string>
#include <vector>

#include "layer/access_profile.h"
#include "mount/image_process.h"
#include "oci/image_store.h"
#include "oci/platform.h"

namespace starling::cli {

/// Before any thread starts, so that a stop signal ends the command that runs and not its record.
void LeaveStopSignalsToCommand();

struct RecordOptions {
  std::filesystem::path root;  // for the image's data; private to the run while it lasts
  std::filesystem::path gzip_indexes;
  oci::Platform platform;
  std::vector<std::string> command;  // empty: the image's own
  mount::RunUntil until;
};

struct RecordedRun {
  layer::AccessProfile profile;
  mount::CommandEnd end;
  std::string command;  // for messages
};

/// Runs the command in the image, which is mounted for that, with nothing of it in the page cache.
/// Errors: those of ImageMount and RunInImage.
StatusOr<RecordedRun> RecordRun(const std::shared_ptr<oci::ImageSource>& source,
                                const RecordOptions& options);

/// kAborted when the command has failed.
Status CheckEnd(const RecordedRun& run, std::string_view consequence);

}  // namespace starling::cli
