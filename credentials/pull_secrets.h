#pragma once

#include <filesystem>
#include <string>
#include <string_view>
#include <vector>

#include "base/bytes.h"
#include "base/file_system.h"
#include "credentials/image_pattern.h"
#include "registry/credentials.h"
#include "registry/refused_credentials.h"

namespace starling::credentials {

/// The logins of a text: manifests of Kubernetes Secrets in YAML or JSON (of the types
/// kubernetes.io/dockerconfigjson and kubernetes.io/dockercfg; others hold none), also as a List,
/// or what such a Secret holds: a docker config.json or an older .dockercfg. kInvalidArgument,
/// kResourceExhausted: say where, never a secret.
StatusOr<std::vector<PatternLogin>> ReadPullSecret(ByteSpan text);

/// Image pull secrets of Kubernetes in files: each place is a file as above, or a directory of
/// such:
/// *.json, *.yaml, *.yml, and as Secrets are mounted `.dockerconfigjson` or `.dockercfg`, in the
/// directory itself or one below it. Files are read at each question, so changes count at once.
/// Threads: safe; blocks for the disk.
class PullSecrets : public registry::CredentialSource {
 public:
  /// Of a directory no more are read (kResourceExhausted).
  static constexpr size_t kMaxFiles = 1000;

  PullSecrets(FileSystem& files, std::vector<std::filesystem::path> places);

  std::string Name() const override { return "pull secrets"; }
  /// Of several for an image the next one when some were refused.
  StatusOr<registry::Credentials> Find(const registry::CredentialRequest& request) override;
  void Refused(const registry::CredentialRequest& request,
               const registry::Credentials& refused) override {
    refused_.Add(request, refused);
  }

 private:
  FileSystem& files_;
  const std::vector<std::filesystem::path> places_;
  registry::RefusedCredentials refused_;
};

}  // namespace starling::credentials
