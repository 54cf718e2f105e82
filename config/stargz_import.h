#pragma once

#include <string>
#include <string_view>
#include <vector>

#include "base/status.h"

namespace starling::config {

/// A configuration of ours that says what one of containerd-stargz-grpc said.
struct ImportedSettings {
  /// TOML, which ParseSettings takes without a warning.
  std::string toml;
  /// "FILE:LINE: KEY: why" for each key that is not in it, or is in it differently.
  std::vector<std::string> notes;
};

/// Reads a config.toml of containerd-stargz-grpc (v0.18). `file` only names it in messages.
/// kInvalidArgument as "FILE:LINE:COLUMN: what" when it is no TOML; what is wrong with a value is a
/// note.
StatusOr<ImportedSettings> ImportStargzConfig(std::string_view text, std::string_view file);

/// The same as one file: the notes are comments.
std::string AsFile(const ImportedSettings& imported, std::string_view file);

}  // namespace starling::config
