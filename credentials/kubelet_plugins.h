#pragma once

#include <chrono>
#include <filesystem>
#include <map>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "base/bytes.h"
#include "base/clock.h"
#include "base/file_system.h"
#include "base/mutex.h"
#include "credentials/expiring_cache.h"
#include "credentials/image_pattern.h"
#include "registry/credentials.h"
#include "registry/refused_credentials.h"

namespace starling::credentials {

/// A plugin of a CredentialProviderConfig.
struct KubeletPlugin {
  std::string name;  // of its program
  std::string api_version;
  std::vector<std::string> match_images;
  std::chrono::milliseconds default_cache_duration{0};
  std::vector<std::string> arguments;
  std::vector<std::pair<std::string, std::string>> variables;
  std::string unusable;  // why it cannot be used here; empty: it can
};

/// Reads a CredentialProviderConfig, YAML or JSON. kInvalidArgument says what is wrong.
/// Source: Kubernetes, "Kubelet CredentialProvider (v1)" and "Kubelet Configuration (v1)".
StatusOr<std::vector<KubeletPlugin>> ReadKubeletPlugins(ByteSpan text);

/// What a plugin answers.
struct KubeletAnswer {
  /// What the answer is good for, besides its patterns.
  enum class Scope { kImage, kRegistry, kGlobal } scope = Scope::kImage;
  std::optional<std::chrono::milliseconds> cache_duration;  // nothing: the plugin's default
  std::vector<PatternLogin> logins;
};

/// Reads a CredentialProviderResponse. kInvalidArgument, without a part of it.
StatusOr<KubeletAnswer> ReadKubeletAnswer(std::string_view json, const std::string& api_version);

/// "12h", "1h30m0s", "1.5s", "0", as Go writes durations; no negative ones. A year at most.
StatusOr<std::chrono::milliseconds> ParseGoDuration(std::string_view text);

/// Kubelet's credential provider plugins: programs in `bin_dir` that `config_file` names, which are
/// told an image on standard input and answer with logins. What they answer is kept in memory as
/// long as it says; a plugin runs once at a time for an image. The file is read at each question.
/// Threads: safe; blocks for the programs, at most `timeout` each.
class KubeletPlugins : public registry::CredentialSource {
 public:
  struct Options {
    std::filesystem::path config_file;
    std::filesystem::path bin_dir;
    std::chrono::milliseconds timeout = std::chrono::minutes(1);  // kubelet's
  };
  KubeletPlugins(FileSystem& files, const Clock& clock, Options options);

  std::string Name() const override { return "kubelet's credential provider plugins"; }
  /// Of several for an image the next one when some were refused.
  StatusOr<registry::Credentials> Find(const registry::CredentialRequest& request) override;
  void Refused(const registry::CredentialRequest& request,
               const registry::Credentials& refused) override;

 private:
  using Logins = std::vector<PatternLogin>;
  using Cache = ExpiringCache<Logins>;

  /// What the plugin has said for the image, or says now.
  StatusOr<Logins> Ask(const KubeletPlugin& plugin, const registry::CredentialRequest& request);
  StatusOr<Cache::Fetched> Run(const KubeletPlugin& plugin,
                               const registry::CredentialRequest& request);
  std::optional<Cache::Fetched> Shared(const KubeletPlugin& plugin,
                                       const registry::CredentialRequest& request);

  FileSystem& files_;
  const Clock& clock_;
  const Options options_;
  Cache cache_;  // by plugin and image
  registry::RefusedCredentials refused_;
  Mutex mutex_;                                                      // leaf
  std::map<std::string, Cache::Fetched> shared_ GUARDED_BY(mutex_);  // for more than one image
};

}  // namespace starling::credentials
