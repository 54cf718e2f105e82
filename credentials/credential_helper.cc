#include "credentials/credential_helper.h"

#include <algorithm>
#include <optional>
#include <utility>

#include "credentials/program.h"
#include "oci/json_fields.h"
#include "registry/url.h"

namespace starling::credentials {
namespace {

Status CheckName(const std::string& name) {
  const bool clean =
      !name.empty() && name.size() <= 100 && std::all_of(name.begin(), name.end(), [](char c) {
        return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') ||
               c == '-' || c == '_' || c == '.';
      });
  return clean ? OkStatus()
               : MakeError(StatusCode::kInvalidArgument,
                           fmt::format("\"{}\" is not a name of a credential helper",
                                       registry::Printable(name, 100)));
}

StatusOr<registry::Credentials> ParseAnswer(const std::string& output) {
  const auto json = nlohmann::json::parse(output, nullptr, false);
  const auto text = [&json](const char* key) {
    const auto found = json.is_object() ? json.find(key) : json.end();
    return found != json.end() && found->is_string() ? found->get<std::string>() : std::string();
  };
  const std::string secret = text("Secret");
  if (secret.empty()) {
    return MakeError(StatusCode::kUnauthenticated, "its answer holds no Secret");
  }
  const std::string username = text("Username");
  // Source: docker-credential-helpers: this user name marks an identity token.
  if (username == "<token>") {
    return registry::Credentials{.username = "", .password = "", .identity_token = secret};
  }
  return registry::Credentials{.username = username, .password = secret, .identity_token = ""};
}

/// What the helper printed; nothing when it has no such credentials.
StatusOr<std::optional<std::string>> Call(const std::string& name, std::string word,
                                          std::string input, std::chrono::milliseconds timeout) {
  RETURN_IF_ERROR(CheckName(name));
  const std::string program = "docker-credential-" + name;
  auto answer = RunProgram({.program = program,
                            .arguments = {std::move(word)},
                            .input = std::move(input),
                            .timeout = timeout});
  if (!answer.ok()) {
    return answer.status().code() == StatusCode::kNotFound ? answer.status()
                                                           : Annotate(answer.status(), program);
  }
  if (answer->exit_status == 0) {
    return std::optional(std::move(answer->output));
  }
  // Source: docker-credential-helpers, errCredentialsNotFoundMessage.
  if (answer->output.find("credentials not found") != std::string::npos) {
    return std::optional<std::string>();
  }
  const std::string first_line = answer->output.substr(0, answer->output.find('\n'));
  return MakeError(StatusCode::kUnauthenticated,
                   fmt::format("{}: it failed: {}", program, registry::Printable(first_line, 200)));
}

}  // namespace

StatusOr<registry::Credentials> AskCredentialHelper(const std::string& name,
                                                    const std::string& server,
                                                    std::chrono::milliseconds timeout) {
  ASSIGN_OR_RETURN(const std::optional<std::string> answer, Call(name, "get", server, timeout));
  if (!answer) {
    return registry::Credentials{};
  }
  auto credentials = ParseAnswer(*answer);
  if (!credentials.ok()) {
    return Annotate(credentials.status(), "docker-credential-" + name);
  }
  return credentials;
}

Status StoreInCredentialHelper(const std::string& name, const std::string& server,
                               const registry::Credentials& login,
                               std::chrono::milliseconds timeout) {
  const std::string input = oci::WriteJson(
      {{"ServerURL", server}, {"Username", login.username}, {"Secret", login.password}});
  return Call(name, "store", input, timeout).status();
}

Status EraseFromCredentialHelper(const std::string& name, const std::string& server,
                                 std::chrono::milliseconds timeout) {
  return Call(name, "erase", server, timeout).status();
}

}  // namespace starling::credentials
