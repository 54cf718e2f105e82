#pragma once

#include <filesystem>
#include <string>
#include <vector>

#include "base/status.h"
#include "dockerfile/entrypoint/shell_script.h"

namespace starling::dockerfile::entrypoint {

/// What a process of an image begins with.
struct Start {
  std::vector<std::string> entrypoint;
  std::string search_path;  // the variable PATH
  std::string working_directory;
};

struct Judgement {
  Verdict verdict = Verdict::kCannotTell;
  /// The file, in the image, that decides; empty where none does.
  std::string file;
  std::string reason;

  friend bool operator==(const Judgement&, const Judgement&) = default;
};

/// Whether the image with the files at `root`, untrusted, executes the command behind its
/// entrypoint. Reads no other file than the entrypoint's own and scripts that it goes on in.
/// Errors: that `root` cannot be opened.
StatusOr<Judgement> Judge(const std::filesystem::path& root, const Start& start);

}  // namespace starling::dockerfile::entrypoint
