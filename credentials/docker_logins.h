#pragma once

#include <chrono>
#include <filesystem>
#include <string>
#include <string_view>
#include <vector>

#include "base/file_system.h"
#include "base/status.h"
#include "base/unique_fd.h"
#include "registry/credentials.h"

namespace starling::credentials {

/// The registry that somebody means by "ghcr.io", "https://ghcr.io/v2/" or, for docker.io,
/// "index.docker.io". kInvalidArgument when it is no host.
StatusOr<std::string> RegistryOfHost(std::string_view text);

/// Puts logins where docker does, and takes them away: a credential helper, or the config.json that
/// names it. Whatever else the file holds stays as it is, byte by byte; it is replaced in one step,
/// and changed by one process at a time. Threads: safe; blocks for files and helpers.
class DockerLogins {
 public:
  /// Whether a password may be stored in the file, in clear, where there is no helper.
  enum class Plaintext { kRefused, kAllowed };

  DockerLogins(FileSystem& files, std::filesystem::path config_file,
               std::chrono::milliseconds helper_timeout = std::chrono::seconds(30));

  /// Where Store would put a login for `registry`: "docker-credential-NAME", or the file.
  /// kFailedPrecondition, with the cure, when that would have to be the file and may not be.
  StatusOr<std::string> PlaceFor(const std::string& registry, Plaintext plaintext) const;
  /// Returns where. What the file held for `registry` in clear before is gone then.
  StatusOr<std::string> Store(const std::string& registry, const registry::Credentials& login,
                              Plaintext plaintext) const;
  /// From the helper and from the file. Returns where there was something.
  StatusOr<std::vector<std::string>> Erase(const std::string& registry) const;

 private:
  /// The file's text; an empty object when there is no file.
  StatusOr<std::string> Read() const;
  /// The helper for `registry`; empty when there is none.
  StatusOr<std::string> HelperFor(const std::string& registry) const;
  /// Held while the file is changed.
  StatusOr<UniqueFd> Lock() const;
  Status Write(std::string_view text) const;

  FileSystem& files_;
  const std::filesystem::path config_file_;
  const std::chrono::milliseconds helper_timeout_;
};

}  // namespace starling::credentials
