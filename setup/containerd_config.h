#pragma once

#include <filesystem>
#include <memory>
#include <string>
#include <vector>

#include "base/status.h"
#include "setup/toml_edit.h"

namespace starling::setup {

/// containerd's configuration as it is on the disk: its file and what that imports, in the order in
/// which containerd reads them; of what several say the last counts. Source: containerd,
/// cmd/containerd/server/config.
class ContainerdConfig {
 public:
  /// `path` below `root`, where a missing file is an empty configuration. Errors: kInvalidArgument
  /// as "FILE:LINE:COLUMN: what", and those of reading; files have limits.
  static StatusOr<ContainerdConfig> Load(const std::filesystem::path& root,
                                         const std::string& path);
  ContainerdConfig(ContainerdConfig&&) noexcept;
  ContainerdConfig& operator=(ContainerdConfig&&) noexcept;
  ~ContainerdConfig();

  const std::string& path() const;
  /// Of all files, the main one first.
  std::vector<std::string> Paths() const;
  bool exists() const;
  /// As the file says; 1 without a word, 0 when there is no file.
  int version() const;
  bool says_version() const;
  /// Whether a file has a table `path` with anything in it.
  bool HasTable(const TomlPath& path) const;
  /// The text at `path`; empty when there is none.
  std::string Text(const TomlPath& path) const;
  /// The texts of lists at `path` in all files.
  std::vector<std::string> Texts(const TomlPath& path) const;
  /// The names of the tables in table `path`.
  std::vector<std::string> Names(const TomlPath& path) const;

  /// What is to be changed, file by file, so that all files together say what is wanted; a key is
  /// changed where it counts. Empty: nothing. Errors as PlanToml.
  StatusOr<std::vector<FilePlan>> Plan(const Wanted& wanted, std::string_view comment) const;

 private:
  struct File;
  ContainerdConfig();
  std::vector<std::unique_ptr<File>> files_;  // the first is the main one
};

}  // namespace starling::setup
