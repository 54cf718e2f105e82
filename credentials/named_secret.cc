#include "credentials/named_secret.h"

#include <array>
#include <map>
#include <utility>

#include "base/text.h"
#include "credentials/azure.h"
#include "credentials/docker_config.h"
#include "credentials/ecr.h"
#include "credentials/google.h"
#include "credentials/variables.h"
#include "oci/json_fields.h"

namespace starling::credentials {
namespace {

constexpr uint64_t kMaxSecretBytes = 1 << 20;
/// Where services are, and the token of the machine for a role that a secret names: they are taken
/// from the machine when the secret does not say them.
constexpr std::array kOfMachine = {"AWS_ENDPOINT_URL",     "AWS_ENDPOINT_URL_ECR",
                                   "AWS_ENDPOINT_URL_STS", "AWS_ENDPOINT_URL_ECR_PUBLIC",
                                   "AZURE_AUTHORITY_HOST", "AWS_WEB_IDENTITY_TOKEN_FILE"};

StatusOr<SecretContent> ParseJsonSecret(ByteSpan text) {
  const auto document = oci::ParseJsonObject(text, kMaxSecretBytes, "secret");
  if (!document.ok()) {
    return document.status();
  }
  SecretContent content;
  if (document->contains("auths")) {
    content.docker_config = AsText(text);
    return content;
  }
  if (document->contains("type") && document->contains("token_uri")) {
    content.variables = Environment({{"SERVICE_ACCOUNT_JSON", std::string(AsText(text))}});
    return content;
  }
  std::map<std::string, std::string> variables;
  for (const auto& [name, value] : document->items()) {
    // A key file may stand in the secret as it is, not as a text.
    if (value.is_object() && name == "SERVICE_ACCOUNT_JSON") {
      variables[name] = oci::WriteJson(value);
    } else if (value.is_string()) {
      variables[name] = value.get<std::string>();
    } else {
      return MakeError(StatusCode::kInvalidArgument, "a value of the JSON object is not a text");
    }
  }
  if (variables.contains("username") && variables.contains("password")) {
    content.login = {.username = variables["username"], .password = variables["password"]};
  }
  content.variables = Environment(std::move(variables));
  return content;
}

}  // namespace

StatusOr<SecretContent> ParseSecret(ByteSpan text) {
  const std::string_view trimmed = TrimSpace(AsText(text));
  if (trimmed.starts_with('{')) {
    return ParseJsonSecret(AsBytes(trimmed));
  }
  const size_t colon = trimmed.find(':');
  if (colon == std::string_view::npos || colon == 0 || colon + 1 == trimmed.size() ||
      trimmed.size() > kMaxSecretBytes || trimmed.find('\n') != std::string_view::npos) {
    return MakeError(StatusCode::kInvalidArgument, "it is neither USER:PASSWORD nor a JSON object");
  }
  SecretContent content;
  content.login = {.username = std::string(trimmed.substr(0, colon)),
                   .password = std::string(trimmed.substr(colon + 1))};
  return content;
}

StatusOr<Bytes> ReadSecret(const std::string& name, const Environment& environment,
                           FileSystem& files) {
  const size_t colon = name.find(':');
  const std::string kind = name.substr(0, colon);
  const std::string place = colon == std::string::npos ? "" : name.substr(colon + 1);
  if (kind == "env" && !place.empty()) {
    Bytes text = ToBytes(environment.Get(place));
    if (text.empty()) {
      return MakeError(StatusCode::kNotFound, fmt::format("secret {}: it is not set", name));
    }
    return text;
  }
  if (kind == "file" && !place.empty()) {
    auto read = ReadFile(files, place, kMaxSecretBytes);
    return read.ok() ? std::move(read) : Annotate(read.status(), "secret");
  }
  return MakeError(StatusCode::kInvalidArgument, "a secret is named as env:VARIABLE or file:PATH");
}

StatusOr<std::unique_ptr<NamedSecret>> NamedSecret::Open(const std::string& name,
                                                         std::string registry,
                                                         const SourceDependencies& dependencies) {
  ASSIGN_OR_RETURN(const Bytes text,
                   ReadSecret(name, dependencies.environment, dependencies.files));
  return OfText(name, text, std::move(registry), dependencies);
}

StatusOr<std::unique_ptr<NamedSecret>> NamedSecret::OfText(const std::string& name, ByteSpan text,
                                                           std::string registry,
                                                           const SourceDependencies& dependencies) {
  auto content = ParseSecret(text);
  if (!content.ok()) {
    return Annotate(content.status(), fmt::format("secret {}", name));
  }
  return std::unique_ptr<NamedSecret>(
      new NamedSecret(name, std::move(registry), *std::move(content), dependencies));
}

NamedSecret::NamedSecret(std::string name, std::string registry, SecretContent content,
                         const SourceDependencies& dependencies)
    : name_(std::move(name)), registry_(std::move(registry)), content_(std::move(content)) {
  SourceDependencies alone = dependencies;
  alone.surroundings = Surroundings::kNone;
  alone.environment = content_.variables;
  for (const char* const variable : kOfMachine) {
    if (!alone.environment.Has(variable)) {
      alone.environment = alone.environment.With(variable, dependencies.environment.Get(variable));
    }
  }
  sources_.push_back(std::make_unique<LoginVariables>(alone.environment, registry_));
  sources_.push_back(std::make_unique<TokenVariables>(alone.environment));
  sources_.push_back(std::make_unique<EcrCredentials>(alone));
  sources_.push_back(std::make_unique<GoogleCredentials>(alone));
  sources_.push_back(std::make_unique<AzureCredentials>(alone));
}

StatusOr<registry::Credentials> NamedSecret::Find(const registry::CredentialRequest& request) {
  if (request.registry != registry_) {
    return MakeError(StatusCode::kNotFound, "");
  }
  if (!content_.login.anonymous()) {
    return content_.login;
  }
  if (!content_.docker_config.empty()) {
    ASSIGN_OR_RETURN(const DockerConfigEntry entry,
                     FindInDockerConfig(content_.docker_config, request.registry));
    return entry.credentials.anonymous()
               ? MakeError(StatusCode::kNotFound, fmt::format("no entry for {}", registry_))
               : StatusOr<registry::Credentials>(entry.credentials);
  }
  std::string reasons;
  for (const auto& source : sources_) {
    auto found = source->Find(request);
    if (found.status().code() != StatusCode::kNotFound) {
      return found;
    }
    if (!MessageOf(found.status()).empty()) {
      reasons += fmt::format("{}{}: {}", reasons.empty() ? "" : ", ", source->Name(),
                             MessageOf(found.status()));
    }
  }
  return MakeError(StatusCode::kNotFound, reasons);
}

void NamedSecret::Refused(const registry::CredentialRequest& request,
                          const registry::Credentials& refused) {
  for (const auto& source : sources_) {
    source->Refused(request, refused);
  }
}

}  // namespace starling::credentials
