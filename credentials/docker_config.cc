#include "credentials/docker_config.h"

#include <nlohmann/json.hpp>
#include <utility>

#include "base/hex.h"
#include "credentials/credential_helper.h"

namespace starling::credentials {
namespace {

using nlohmann::json;

constexpr std::string_view kDockerHubServer = "https://index.docker.io/v1/";

bool IsDockerHub(std::string_view host) {
  return host == "docker.io" || host == "index.docker.io" || host == "registry-1.docker.io";
}

/// "https://ghcr.io/v1/" names the registry ghcr.io.
std::string_view HostOfKey(std::string_view key) {
  for (const std::string_view scheme : {"https://", "http://"}) {
    if (key.starts_with(scheme)) {
      key.remove_prefix(scheme.size());
    }
  }
  return key.substr(0, key.find('/'));
}

/// The value whose key is exactly `registry`, else one whose key names it in another way.
const json* FindByRegistry(const json& object, const std::string& registry, std::string& key) {
  if (const auto exact = object.find(registry); exact != object.end()) {
    key = registry;
    return &*exact;
  }
  for (auto at = object.begin(); at != object.end(); ++at) {
    if (NamesRegistry(at.key(), registry)) {
      key = at.key();
      return &*at;
    }
  }
  return nullptr;
}

Status WrongType(std::string_view key, std::string_view wanted) {
  return MakeError(StatusCode::kInvalidArgument, fmt::format("\"{}\" is not {}", key, wanted));
}

StatusOr<std::string> StringOf(const json& object, const char* name, std::string_view where) {
  const auto found = object.find(name);
  if (found == object.end()) {
    return std::string();
  }
  if (!found->is_string()) {
    return WrongType(fmt::format("{}.{}", where, name), "a string");
  }
  return found->get<std::string>();
}

StatusOr<registry::Credentials> ParseAuth(const json& auth, const std::string& where) {
  if (!auth.is_object()) {
    return WrongType(where, "an object");
  }
  registry::Credentials credentials;
  ASSIGN_OR_RETURN(credentials.username, StringOf(auth, "username", where));
  ASSIGN_OR_RETURN(credentials.password, StringOf(auth, "password", where));
  ASSIGN_OR_RETURN(credentials.identity_token, StringOf(auth, "identitytoken", where));
  ASSIGN_OR_RETURN(const std::string packed, StringOf(auth, "auth", where));
  if (packed.empty()) {
    return credentials;
  }
  const auto login = ParsePackedLogin(packed);
  if (!login) {
    return MakeError(
        StatusCode::kInvalidArgument,
        fmt::format("\"{}.auth\" is not base64 of \"user:password\"; log in again", where));
  }
  credentials.username = login->username;
  credentials.password = login->password;
  return credentials;
}

StatusOr<std::string> HelperOf(const json& config, const std::string& registry) {
  if (const auto helpers = config.find("credHelpers"); helpers != config.end()) {
    if (!helpers->is_object()) {
      return WrongType("credHelpers", "an object");
    }
    std::string key;
    if (const json* helper = FindByRegistry(*helpers, registry, key)) {
      if (!helper->is_string()) {
        return WrongType(fmt::format("credHelpers.{}", key), "a string");
      }
      return helper->get<std::string>();
    }
  }
  return StringOf(config, "credsStore", "config");
}

}  // namespace

bool NamesRegistry(std::string_view key, std::string_view registry) {
  const std::string_view host = HostOfKey(key);
  return host == registry || (IsDockerHub(host) && IsDockerHub(registry));
}

std::optional<registry::Credentials> ParsePackedLogin(std::string_view packed) {
  const auto unpacked = Base64Decode(packed);
  const std::string_view text = unpacked ? AsText(*unpacked) : std::string_view();
  const size_t colon = text.find(':');
  if (colon == std::string_view::npos) {
    return std::nullopt;
  }
  registry::Credentials login{.username = std::string(text.substr(0, colon)),
                              .password = std::string(text.substr(colon + 1))};
  // docker pads with NUL bytes.
  while (!login.password.empty() && login.password.back() == '\0') {
    login.password.pop_back();
  }
  return login;
}

std::string DockerKeyOf(const std::string& registry) {
  return IsDockerHub(registry) ? std::string(kDockerHubServer) : registry;
}

StatusOr<DockerConfigEntry> FindInDockerConfig(std::string_view text, const std::string& registry) {
  const json config = json::parse(text, nullptr, false);
  if (!config.is_object()) {
    return MakeError(StatusCode::kInvalidArgument, "it is not a JSON object");
  }
  DockerConfigEntry entry;
  ASSIGN_OR_RETURN(entry.helper, HelperOf(config, registry));
  const auto auths = config.find("auths");
  if (auths == config.end()) {
    return entry;
  }
  if (!auths->is_object()) {
    return WrongType("auths", "an object");
  }
  std::string key;
  if (const json* auth = FindByRegistry(*auths, registry, key)) {
    ASSIGN_OR_RETURN(entry.credentials, ParseAuth(*auth, fmt::format("auths.{}", key)));
  }
  return entry;
}

StatusOr<std::vector<PatternLogin>> LoginsInDockerConfig(std::string_view text) {
  const json config = json::parse(text, nullptr, false);
  const auto auths = config.is_object() ? config.find("auths") : config.end();
  if (auths == config.end() || !auths->is_object()) {
    return WrongType("auths", "an object");
  }
  std::vector<PatternLogin> logins;
  for (const auto& [key, auth] : auths->items()) {
    ASSIGN_OR_RETURN(registry::Credentials credentials,
                     ParseAuth(auth, fmt::format("auths.{}", key)));
    logins.push_back({.pattern = key, .credentials = std::move(credentials)});
  }
  return logins;
}

DockerConfig::DockerConfig(FileSystem& files, std::filesystem::path config_file,
                           std::chrono::milliseconds helper_timeout)
    : files_(files), config_file_(std::move(config_file)), helper_timeout_(helper_timeout) {}

std::filesystem::path DockerConfig::PathIn(const Environment& environment) {
  if (environment.Has("DOCKER_CONFIG")) {
    return std::filesystem::path(environment.Get("DOCKER_CONFIG")) / "config.json";
  }
  return std::filesystem::path(environment.Home()) / ".docker/config.json";
}

std::string DockerConfig::Name() const {
  return fmt::format("docker config {}", config_file_.string());
}

StatusOr<registry::Credentials> DockerConfig::Find(const registry::CredentialRequest& request) {
  const std::string& registry = request.registry;
  ASSIGN_OR_RETURN(const std::optional<std::string> text, Text());
  if (!text) {
    return MakeError(StatusCode::kNotFound, "no such file");
  }
  auto entry = FindInDockerConfig(*text, registry);
  if (!entry.ok()) {
    return Annotate(entry.status(), config_file_.string());
  }
  std::string reason = fmt::format("no entry for {}", registry);
  if (!entry->helper.empty()) {
    auto found = AskCredentialHelper(entry->helper, DockerKeyOf(registry), helper_timeout_);
    if (!found.ok()) {
      return Annotate(found.status(), config_file_.string());
    }
    if (!found->anonymous()) {
      return found;
    }
    reason += fmt::format(", nor has docker-credential-{}", entry->helper);
  }
  if (entry->credentials.anonymous()) {
    return MakeError(StatusCode::kNotFound, reason);
  }
  return entry->credentials;
}

StatusOr<std::optional<std::string>> DockerConfig::Text() {
  struct stat info{};
  if (::stat(config_file_.c_str(), &info) != 0) {
    const Status status = ErrnoError(errno, config_file_.string());
    if (status.code() == StatusCode::kNotFound) {
      return std::optional<std::string>();
    }
    return status;
  }
  const Version version{.modified = info.st_mtim, .size_bytes = info.st_size, .inode = info.st_ino};
  {
    MutexLock lock(mutex_);
    if (version_ == version) {
      return std::optional(text_);
    }
  }
  ASSIGN_OR_RETURN(const Bytes bytes, ReadFile(files_, config_file_, kMaxDockerConfigBytes));
  MutexLock lock(mutex_);
  version_ = version;
  text_ = AsText(bytes);
  return std::optional(text_);
}

}  // namespace starling::credentials
