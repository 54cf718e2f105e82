#pragma once

#include <filesystem>
#include <stop_token>

#include "base/status.h"
#include "dockerfile/plan/graph.h"

namespace starling::dockerfile::build {

/// Whether an operation's files must be brought before anything can be said about them.
bool IsRemote(const plan::Operation& operation);

/// Brings the files of a download, a repository, or the Dockerfile itself into the new directory
/// `directory` and returns where they are. Blocks.
StatusOr<std::filesystem::path> FetchRemote(const plan::Operation& operation,
                                            const std::filesystem::path& directory,
                                            const std::stop_token& stop);

}  // namespace starling::dockerfile::build
