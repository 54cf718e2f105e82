#pragma once

#include <filesystem>
#include <optional>
#include <stop_token>

#include "base/status.h"
#include "dockerfile/build/provenance.h"
#include "dockerfile/plan/graph.h"

namespace starling::dockerfile::build {

/// Whether an operation's files must be brought before anything can be said about them.
bool IsRemote(const plan::Operation& operation);

struct FetchedSource {
  std::filesystem::path directory;
  /// Of what is not in the Dockerfile: a download's content, a repository's commit.
  std::optional<Material> material;
};

/// Brings the files of a download, a repository, or the Dockerfile itself into the new directory
/// `directory`. Blocks.
StatusOr<FetchedSource> FetchRemote(const plan::Operation& operation,
                                    const std::filesystem::path& directory,
                                    const std::stop_token& stop);

}  // namespace starling::dockerfile::build
