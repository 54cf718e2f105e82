/// Options of commands that look at this machine and its services.
#pragma once

#include <CLI/CLI.hpp>

#include "doctor/host.h"

namespace starling::cli {

/// --config, --address, --containerd, --containerd-config, --nerdctl-config and --snapshotter.
void AddPlaces(CLI::App& command, doctor::Places& places);

}  // namespace starling::cli
