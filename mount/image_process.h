#pragma once

#include <filesystem>
#include <string>
#include <vector>

#include "base/status.h"

namespace starling::mount {

/// A command and the image to run it in.
struct ImageCommand {
  std::filesystem::path image;           // a directory that shows the image's files
  std::vector<std::string> arguments;    // the first one is looked up in the environment's PATH
  std::vector<std::string> environment;  // "NAME=value"
  std::string working_directory;         // in the image; empty: its root
};

/// Runs a command with the image as its root: in mount and process namespaces of its own, on a
/// writable layer in memory, with the host's devices, network and user. No security boundary.
/// Blocks until it ends; then all that it started is gone, and nothing stays mounted. SIGTERM is
/// passed on to it and SIGINT left to the terminal: the caller has blocked both in all threads.
/// Returns the exit code as a shell does: 128 + number for a signal. Errors: kPermissionDenied
/// without root; kNotFound when the image has no such command; else what the kernel refused.
StatusOr<int> RunInImage(const ImageCommand& command);

}  // namespace starling::mount
