#pragma once

#include <sys/stat.h>

#include <chrono>
#include <filesystem>
#include <optional>
#include <string>
#include <vector>

#include "base/file_system.h"
#include "base/mutex.h"
#include "credentials/environment.h"
#include "credentials/image_pattern.h"
#include "registry/credentials.h"

namespace starling::credentials {

/// Whether `key` of a config.json ("ghcr.io", "https://ghcr.io/v1/") names `registry`. Docker Hub
/// has several names.
bool NamesRegistry(std::string_view key, std::string_view registry);
/// A config.json is read up to this size.
inline constexpr uint64_t kMaxDockerConfigBytes = 4 << 20;

/// The login that base64 of "user:password" holds, as docker writes it; nothing for other texts.
std::optional<registry::Credentials> ParsePackedLogin(std::string_view packed);
/// The key under which docker keeps what belongs to `registry`, in its file and in helpers.
std::string DockerKeyOf(const std::string& registry);

/// What a docker config.json says about one registry.
struct DockerConfigEntry {
  std::string helper;  // of credHelpers or credsStore; asked first
  registry::Credentials credentials;
};

/// Looks `registry` up in the text of a config.json; nothing found is no error. Errors name the
/// key, never a secret. docker.io goes by its old name https://index.docker.io/v1/ too.
StatusOr<DockerConfigEntry> FindInDockerConfig(std::string_view json, const std::string& registry);

/// All logins in the text of a config.json, by its keys under "auths". Errors as above.
StatusOr<std::vector<PatternLogin>> LoginsInDockerConfig(std::string_view json);

/// Credentials of `docker login`: $DOCKER_CONFIG/config.json, else ~/.docker/config.json, read
/// again whenever the file changes; a file that is not there knows nothing. Threads: safe; blocks.
class DockerConfig : public registry::CredentialSource {
 public:
  DockerConfig(FileSystem& files, std::filesystem::path config_file,
               std::chrono::milliseconds helper_timeout = std::chrono::seconds(30));
  /// Where docker itself would look.
  static std::filesystem::path PathIn(const Environment& environment);

  std::string Name() const override;
  StatusOr<registry::Credentials> Find(const registry::CredentialRequest& request) override;

 private:
  struct Version {
    timespec modified{};
    off_t size_bytes = -1;
    ino_t inode = 0;
    friend bool operator==(const Version& a, const Version& b) {
      return a.modified.tv_sec == b.modified.tv_sec && a.modified.tv_nsec == b.modified.tv_nsec &&
             a.size_bytes == b.size_bytes && a.inode == b.inode;
    }
  };
  /// The file's text; nothing when there is no file.
  StatusOr<std::optional<std::string>> Text();

  FileSystem& files_;
  const std::filesystem::path config_file_;
  const std::chrono::milliseconds helper_timeout_;
  Mutex mutex_;  // leaf
  std::optional<Version> version_ GUARDED_BY(mutex_);
  std::string text_ GUARDED_BY(mutex_);
};

}  // namespace starling::credentials
