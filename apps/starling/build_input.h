#pragma once

#include <filesystem>
#include <optional>
#include <stop_token>
#include <string>

#include "apps/starling/build_run.h"
#include "base/status.h"
#include "dockerfile/build/builder.h"
#include "dockerfile/build/provenance.h"
#include "dockerfile/lock/pins.h"

namespace starling::cli {

/// What is built: a Dockerfile, and the build's own context.
struct BuildInput {
  std::string name;  // of the Dockerfile, for messages
  std::string text;
  std::optional<dockerfile::build::LocalContext> context;
  std::optional<dockerfile::build::Material> material;  // of a context from elsewhere
};

/// Reads both, wherever they are: in a directory, on standard input, in a Git repository or an
/// archive behind a URL. What is not a directory already becomes one in `scratch`; what `pins` says
/// of a source counts, and what it stands for is noted there. Blocks. Errors: the file's, the
/// archive's or the server's.
StatusOr<BuildInput> ReadBuildInput(const BuildArguments& arguments,
                                    const std::filesystem::path& scratch,
                                    dockerfile::lock::Pins& pins, const std::stop_token& stop);

}  // namespace starling::cli
