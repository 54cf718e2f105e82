#pragma once

#include <filesystem>
#include <stop_token>
#include <string>

#include "base/status.h"
#include "dockerfile/syntax/git_reference.h"

namespace starling::dockerfile::context {

struct GitCheckout {
  /// Below the directory that was asked for: the reference's subdirectory.
  std::filesystem::path directory;
  std::string commit;
};

/// Fetches one commit of a repository by the program git and puts its files into `directory`, which
/// is made. Neither hooks nor settings of anybody count, no submodule is fetched unless the
/// reference says so, and git never asks for a password. Times of files are the commit's.
/// Errors: kNotFound without git or for a reference that is not there; kDataLoss when the commit is
/// not the one that the reference's checksum names; git's own words else. kCancelled after a stop.
StatusOr<GitCheckout> CheckOut(const syntax::GitReference& reference, bool keep_git_directory,
                               const std::filesystem::path& directory, const std::stop_token& stop);

}  // namespace starling::dockerfile::context
