#pragma once

#include <optional>
#include <string>
#include <string_view>

#include "base/status.h"

namespace starling::dockerfile::syntax {

/// A git repository as a source of ADD: REMOTE[?KEY=VALUE&...][#REF[:DIRECTORY]].
struct GitReference {
  std::string remote;
  /// A branch, a tag or a commit as named; empty is the remote's HEAD.
  std::string ref;
  std::string subdirectory;
  /// The commit that `ref` must be; a prefix is enough.
  std::string checksum;
  /// The last part of the remote's path, without ".git".
  std::string short_name;
  std::string modified_time;  // "checkout", "commit" or empty
  std::optional<bool> keep_git_directory;
  std::optional<bool> submodules;
  bool fetch_by_commit = false;
  /// Written without a scheme: github.com/USER/REPOSITORY, which could be a local path.
  bool like_local_path = false;
  /// Fetched without encryption.
  bool plain_text = false;
};

/// Nothing when `text` names no git repository: a path, or a URL that does not end in ".git".
/// Errors: kInvalidArgument for keys that are unknown or contradict each other.
StatusOr<std::optional<GitReference>> ParseGitReference(std::string_view text);

/// Whether `text` is a commit's whole name, SHA-1 or SHA-256, in lower case.
bool IsWholeCommit(std::string_view text);

/// Whether `text` is an http or https URL.
bool IsHttpUrl(std::string_view text);

}  // namespace starling::dockerfile::syntax
