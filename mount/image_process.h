#pragma once

#include <chrono>
#include <filesystem>
#include <optional>
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

/// When a command that would go on is ended, whichever comes first.
struct RunUntil {
  std::optional<std::chrono::milliseconds> time;  // it has run so long
  /// It has printed this on one of its standard streams, which are pipes then; what it prints is
  /// passed on. Empty: they stay the caller's.
  std::string printed;
};

struct CommandEnd {
  int exit_code = 0;
  /// What RunUntil says came first, and the exit code means nothing.
  bool was_reached = false;
};

/// Runs a command with the image as its root: in mount and process namespaces of its own, on a
/// writable layer in memory, with the host's devices, network and user. No security boundary.
/// Blocks until it ends; then all that it started is gone, and nothing stays mounted. SIGTERM is
/// passed on to it and SIGINT left to the terminal: the caller has blocked both in all threads.
/// The exit code is as a shell's: 128 + number for a signal. Errors: kPermissionDenied
/// without root; kNotFound when the image has no such command; else what the kernel refused.
StatusOr<CommandEnd> RunInImage(const ImageCommand& command, const RunUntil& until = {});

}  // namespace starling::mount
