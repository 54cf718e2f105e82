#include "credentials/pull_secrets.h"

#include <algorithm>
#include <array>
#include <utility>

#include "base/hex.h"
#include "credentials/docker_config.h"
#include "oci/json_fields.h"
#include "yaml/to_json.h"

namespace starling::credentials {
namespace {

constexpr size_t kMaxRefusedOfRepository = 100;
constexpr std::array kEndings = {".json", ".yaml", ".yml"};

struct SecretKind {
  const char* type;
  const char* key;
  bool is_whole;  // a config.json; else what stands under "auths" there
};
constexpr std::array kKinds = {
    SecretKind{"kubernetes.io/dockerconfigjson", ".dockerconfigjson", true},
    SecretKind{"kubernetes.io/dockercfg", ".dockercfg", false},
};

Status Add(std::string_view config, bool is_whole, std::vector<PatternLogin>& logins) {
  ASSIGN_OR_RETURN(std::vector<PatternLogin> found,
                   LoginsInDockerConfig(is_whole ? std::string(config)
                                                 : fmt::format("{{\"auths\":{}}}", config)));
  std::ranges::move(found, std::back_inserter(logins));
  return OkStatus();
}

/// What a Secret holds under `key`; empty when it holds nothing there.
StatusOr<std::string> ValueOf(const oci::Json& secret, const char* key) {
  // What is written there wins when it is applied.
  if (const oci::Json* plain = oci::FindField(secret, "stringData");
      plain != nullptr && plain->is_object() && plain->contains(key)) {
    return oci::TextField(*plain, key);
  }
  const oci::Json* data = oci::FindField(secret, "data");
  if (data == nullptr || !data->is_object()) {
    return std::string();
  }
  ASSIGN_OR_RETURN(std::string packed, oci::TextField(*data, key));
  // A block of YAML has ends of lines.
  std::erase_if(packed, [](char c) { return c == '\n' || c == ' '; });
  const auto bytes = Base64Decode(packed);
  if (!bytes) {
    return MakeError(StatusCode::kInvalidArgument, fmt::format("data.{} is not base64", key));
  }
  return std::string(AsText(*bytes));
}

Status AddSecret(const oci::Json& secret, std::vector<PatternLogin>& logins) {
  ASSIGN_OR_RETURN(const std::string type, oci::TextField(secret, "type"));
  for (const SecretKind& kind : kKinds) {
    if (type == kind.type) {
      ASSIGN_OR_RETURN(const std::string config, ValueOf(secret, kind.key));
      return config.empty() ? OkStatus() : Annotate(Add(config, kind.is_whole, logins), kind.key);
    }
  }
  return OkStatus();
}

Status AddDocument(const oci::Json& document, std::vector<PatternLogin>& logins) {
  if (document.contains("auths")) {
    return Add(oci::WriteJson(document), /*is_whole=*/true, logins);
  }
  if (!document.contains("kind")) {
    return Add(oci::WriteJson(document), /*is_whole=*/false, logins);
  }
  ASSIGN_OR_RETURN(const std::string kind, oci::TextField(document, "kind"));
  if (kind == "Secret") {
    return AddSecret(document, logins);
  }
  const oci::Json* items = oci::FindField(document, "items");
  if ((kind != "List" && kind != "SecretList") || items == nullptr || !items->is_array()) {
    return MakeError(StatusCode::kInvalidArgument, "it is no Secret");
  }
  for (const oci::Json& item : *items) {
    if (item.is_object()) {
      RETURN_IF_ERROR(AddSecret(item, logins));
    }
  }
  return OkStatus();
}

/// The files of a place; itself, when it is no directory.
StatusOr<std::vector<std::filesystem::path>> FilesOf(const std::filesystem::path& place) {
  namespace fs = std::filesystem;
  std::error_code error;
  if (!fs::is_directory(place, error)) {
    return std::vector<fs::path>{place};
  }
  std::vector<fs::path> found;
  const auto add_mounted = [&](const fs::path& directory) {
    for (const SecretKind& kind : kKinds) {
      std::error_code ignored;
      if (fs::is_regular_file(directory / kind.key, ignored)) {
        found.push_back(directory / kind.key);
      }
    }
  };
  add_mounted(place);
  size_t looked_at = 0;
  for (auto entry = fs::directory_iterator(place, error); !error && entry != fs::end(entry);
       entry.increment(error)) {
    if (++looked_at > PullSecrets::kMaxFiles) {
      return MakeError(
          StatusCode::kResourceExhausted,
          fmt::format("{}: more than {} files", place.string(), PullSecrets::kMaxFiles));
    }
    const fs::path& path = entry->path();
    std::error_code ignored;
    // "..data" and its like are how kubelet changes a mounted Secret in one step.
    if (path.filename().string().starts_with("..")) {
      continue;
    }
    if (fs::is_directory(path, ignored)) {
      add_mounted(path);
    } else if (std::ranges::find(kEndings, path.extension().string()) != kEndings.end()) {
      found.push_back(path);
    }
  }
  if (error) {
    return ErrnoError(error.value(), place.string());
  }
  std::ranges::sort(found);
  return found;
}

}  // namespace

StatusOr<std::vector<PatternLogin>> ReadPullSecret(ByteSpan text) {
  ASSIGN_OR_RETURN(const std::vector<std::string> documents, yaml::ToJson(AsText(text)));
  std::vector<PatternLogin> logins;
  for (const std::string& document : documents) {
    if (document == "null") {  // between two "---"
      continue;
    }
    const auto object = oci::ParseJsonObject(AsBytes(document), yaml::kMaxBytes * 6, "secret");
    if (!object.ok()) {
      return MakeError(StatusCode::kInvalidArgument, "it is no Secret");
    }
    RETURN_IF_ERROR(AddDocument(*object, logins));
  }
  return logins;
}

PullSecrets::PullSecrets(FileSystem& files, std::vector<std::filesystem::path> places)
    : files_(files), places_(std::move(places)), refused_(kMaxRefusedOfRepository) {}

StatusOr<registry::Credentials> PullSecrets::Find(const registry::CredentialRequest& request) {
  std::vector<PatternLogin> logins;
  Status problem;
  size_t count = 0;
  for (const std::filesystem::path& place : places_) {
    const auto paths = FilesOf(place);
    if (!paths.ok()) {
      problem = paths.status();
      continue;
    }
    for (const std::filesystem::path& path : *paths) {
      ++count;
      const auto text = ReadFile(files_, path, yaml::kMaxBytes);
      auto read =
          text.ok() ? ReadPullSecret(*text) : StatusOr<std::vector<PatternLogin>>(text.status());
      if (read.ok()) {
        std::ranges::move(*read, std::back_inserter(logins));
      } else {
        problem = text.ok() ? Annotate(read.status(), path.string()) : text.status();
      }
    }
  }
  logins = LoginsFor(request, std::move(logins));
  std::erase_if(logins, [](const PatternLogin& login) { return login.credentials.anonymous(); });
  if (logins.empty()) {
    // One secret that cannot be read does not hide the others.
    return problem.ok() ? MakeError(StatusCode::kNotFound,
                                    fmt::format("none of {} files is for {}/{}", count,
                                                request.registry, request.repository))
                        : MakeError(StatusCode::kInvalidArgument, MessageOf(problem));
  }
  for (const PatternLogin& login : logins) {
    if (!refused_.Contains(request, login.credentials)) {
      return login.credentials;
    }
  }
  // All were refused, perhaps in an outage.
  refused_.Forget(request);
  return logins.front().credentials;
}

}  // namespace starling::credentials
