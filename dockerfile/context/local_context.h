/// Where a build takes local files from.
#pragma once

#include <filesystem>
#include <memory>
#include <optional>
#include <stop_token>
#include <string>

#include "base/status.h"
#include "dockerfile/syntax/ignore_file.h"

namespace starling::dockerfile::context {

/// A directory, and what of it does not belong to the context.
struct LocalContext {
  std::filesystem::path directory;
  /// Null: all of it does.
  std::shared_ptr<const syntax::IgnoreFile> ignore_file;
  /// Where the ignore file was found; empty without one.
  std::filesystem::path ignore_path;
};

/// The ignore file of the Dockerfile at `dockerfile` (NAME.dockerignore beside it) goes before
/// that of the context; an empty `dockerfile` has none. Errors: kNotFound, kInvalidArgument with
/// file and line.
StatusOr<LocalContext> OpenDirectory(const std::filesystem::path& directory,
                                     const std::filesystem::path& dockerfile);

/// Unpacks a tar, whichever way it is compressed, from `input` (a pipe, too) into `directory`,
/// which is made. Errors: those of files::UnpackArchive.
Status UnpackContext(int input, const std::filesystem::path& directory,
                     const std::stop_token& stop);

}  // namespace starling::dockerfile::context
