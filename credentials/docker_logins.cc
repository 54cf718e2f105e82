#include "credentials/docker_logins.h"

#include <fcntl.h>
#include <sys/file.h>

#include <cerrno>
#include <utility>

#include "base/hex.h"
#include "credentials/credential_helper.h"
#include "credentials/docker_config.h"
#include "credentials/json_edit.h"
#include "oci/json_fields.h"
#include "oci/reference.h"
#include "registry/url.h"

namespace starling::credentials {
namespace {

std::string HelperProgram(const std::string& name) { return "docker-credential-" + name; }

/// `config` without anything that it holds for `registry`, under whatever name.
StatusOr<std::string> WithoutLogin(std::string config, const std::string& registry) {
  ASSIGN_OR_RETURN(const oci::Json json,
                   oci::ParseJsonObject(AsBytes(config), kMaxDockerConfigBytes, "configuration"));
  const oci::Json* auths = oci::FindField(json, "auths");
  if (auths == nullptr || !auths->is_object()) {
    return config;
  }
  for (const auto& [key, value] : auths->items()) {
    if (NamesRegistry(key, registry)) {
      ASSIGN_OR_RETURN(config, EraseJsonMember(config, {"auths", key}));
    }
  }
  return config;
}

}  // namespace

StatusOr<std::string> RegistryOfHost(std::string_view text) {
  std::string_view host = text;
  for (const std::string_view scheme : {"https://", "http://"}) {
    if (host.starts_with(scheme)) {
      host.remove_prefix(scheme.size());
    }
  }
  const size_t slash = host.find('/');
  const std::string_view path = slash == std::string_view::npos ? "" : host.substr(slash);
  host = host.substr(0, slash);
  if (NamesRegistry(host, "docker.io")) {
    return std::string("docker.io");
  }
  const auto reference = oci::Reference::Parse(fmt::format("{}/image", host));
  const bool is_root = path.empty() || path == "/" || path == "/v1/" || path == "/v2/";
  if (!is_root || !reference.ok() || reference->domain() != host) {
    return MakeError(StatusCode::kInvalidArgument,
                     fmt::format("\"{}\" is not the host of a registry, such as ghcr.io or "
                                 "registry.example:5000",
                                 registry::Printable(text, 200)));
  }
  return std::string(host);
}

DockerLogins::DockerLogins(FileSystem& files, std::filesystem::path config_file,
                           std::chrono::milliseconds helper_timeout)
    : files_(files),
      // The file itself: a link to it must stay one.
      config_file_(std::filesystem::exists(config_file) ? std::filesystem::canonical(config_file)
                                                        : std::move(config_file)),
      helper_timeout_(helper_timeout) {}

StatusOr<std::string> DockerLogins::PlaceFor(const std::string& registry,
                                             Plaintext plaintext) const {
  ASSIGN_OR_RETURN(const std::string helper, HelperFor(registry));
  if (!helper.empty()) {
    return HelperProgram(helper);
  }
  if (plaintext == Plaintext::kAllowed) {
    return config_file_.string();
  }
  return MakeError(
      StatusCode::kFailedPrecondition,
      fmt::format("{} names no credential helper, so the password would lie there in clear: put a "
                  "helper such as docker-credential-pass into PATH and \"credsStore\": \"pass\" "
                  "into that file, or say --plaintext",
                  config_file_.string()));
}

StatusOr<std::string> DockerLogins::Store(const std::string& registry,
                                          const registry::Credentials& login,
                                          Plaintext plaintext) const {
  if (login.username.find(':') != std::string::npos) {
    return MakeError(StatusCode::kInvalidArgument, "a user name holds no colon");
  }
  ASSIGN_OR_RETURN(std::string place, PlaceFor(registry, plaintext));
  ASSIGN_OR_RETURN(const std::string helper, HelperFor(registry));
  if (!helper.empty()) {
    RETURN_IF_ERROR(StoreInCredentialHelper(helper, DockerKeyOf(registry), login, helper_timeout_));
  }
  ASSIGN_OR_RETURN(const UniqueFd lock, Lock());
  ASSIGN_OR_RETURN(const std::string before, Read());
  ASSIGN_OR_RETURN(std::string after, WithoutLogin(before, registry));
  if (helper.empty()) {
    const std::string packed =
        Base64Encode(AsBytes(fmt::format("{}:{}", login.username, login.password)));
    ASSIGN_OR_RETURN(after, SetJsonMember(after, {"auths", DockerKeyOf(registry)},
                                          oci::WriteJson({{"auth", packed}})));
  }
  if (after != before) {
    RETURN_IF_ERROR(Write(after));
  }
  return place;
}

StatusOr<std::vector<std::string>> DockerLogins::Erase(const std::string& registry) const {
  std::vector<std::string> places;
  std::string helper;
  {
    std::error_code error;
    if (!std::filesystem::exists(config_file_, error)) {
      return places;
    }
    ASSIGN_OR_RETURN(const UniqueFd lock, Lock());
    ASSIGN_OR_RETURN(const std::string before, Read());
    ASSIGN_OR_RETURN(const std::string after, WithoutLogin(before, registry));
    if (after != before) {
      RETURN_IF_ERROR(Write(after));
      places.push_back(config_file_.string());
    }
  }
  ASSIGN_OR_RETURN(helper, HelperFor(registry));
  if (!helper.empty()) {
    const std::string server = DockerKeyOf(registry);
    ASSIGN_OR_RETURN(const registry::Credentials kept,
                     AskCredentialHelper(helper, server, helper_timeout_));
    if (!kept.anonymous()) {
      RETURN_IF_ERROR(EraseFromCredentialHelper(helper, server, helper_timeout_));
      places.push_back(HelperProgram(helper));
    }
  }
  return places;
}

StatusOr<std::string> DockerLogins::Read() const {
  const auto bytes = ReadFile(files_, config_file_, kMaxDockerConfigBytes);
  if (bytes.status().code() == StatusCode::kNotFound || (bytes.ok() && bytes->empty())) {
    return std::string("{}\n");
  }
  RETURN_IF_ERROR(bytes.status());
  return std::string(AsText(*bytes));
}

StatusOr<std::string> DockerLogins::HelperFor(const std::string& registry) const {
  ASSIGN_OR_RETURN(const std::string text, Read());
  const auto entry = FindInDockerConfig(text, registry);
  if (!entry.ok()) {
    return Annotate(entry.status(), config_file_.string());
  }
  return entry->helper;
}

StatusOr<UniqueFd> DockerLogins::Lock() const {
  const std::filesystem::path directory = config_file_.parent_path();
  RETURN_IF_ERROR(MakeDirectories(directory, 0700));
  ASSIGN_OR_RETURN(UniqueFd fd, files_.Open(directory, O_RDONLY | O_DIRECTORY, 0));
  while (::flock(fd.get(), LOCK_EX) != 0) {
    if (errno != EINTR) {
      return ErrnoError(errno, fmt::format("lock {}", directory.string()));
    }
  }
  return fd;
}

Status DockerLogins::Write(std::string_view text) const {
  return WriteFileAtomically(files_, config_file_, AsBytes(text), 0600);
}

}  // namespace starling::credentials
