#include "credentials/variables.h"

#include <array>

#include "credentials/docker_config.h"

namespace starling::credentials {
namespace {

struct TokenRule {
  std::string_view registry;
  std::array<const char*, 2> variables;  // the first that is set counts
  const char* user_variable;
  const char* user;  // when that is not set
};

constexpr std::array kRules = {
    // Any user name will do.
    TokenRule{.registry = "ghcr.io",
              .variables = {"GITHUB_TOKEN", "GH_TOKEN"},
              .user_variable = "GITHUB_ACTOR",
              .user = "x-access-token"},
    TokenRule{.registry = "nvcr.io",
              .variables = {"NGC_API_KEY", "NGC_CLI_API_KEY"},
              .user_variable = "",
              .user = "$oauthtoken"},
};

}  // namespace

StatusOr<registry::Credentials> LoginVariables::Find(const registry::CredentialRequest& request) {
  const std::string& named = environment_.Get("REGISTRY_HOST");
  if (!NamesRegistry(named.empty() ? usual_registry_ : named, request.registry)) {
    return MakeError(StatusCode::kNotFound, "");
  }
  registry::Credentials credentials{.username = environment_.Get("REGISTRY_USERNAME"),
                                    .password = environment_.Get("REGISTRY_PASSWORD")};
  if (credentials.username.empty() && credentials.password.empty()) {
    return MakeError(StatusCode::kNotFound, "not set");
  }
  if (credentials.username.empty() || credentials.password.empty()) {
    return MakeError(StatusCode::kInvalidArgument, "only one of them is set");
  }
  return credentials;
}

StatusOr<registry::Credentials> TokenVariables::Find(const registry::CredentialRequest& request) {
  for (const TokenRule& rule : kRules) {
    if (request.registry != rule.registry) {
      continue;
    }
    for (const char* variable : rule.variables) {
      if (const std::string& token = environment_.Get(variable); !token.empty()) {
        const std::string& user = environment_.Get(rule.user_variable);
        return registry::Credentials{.username = user.empty() ? rule.user : user,
                                     .password = token};
      }
    }
    return MakeError(StatusCode::kNotFound,
                     fmt::format("neither {} nor {} is set", rule.variables[0], rule.variables[1]));
  }
  return MakeError(StatusCode::kNotFound, "");
}

}  // namespace starling::credentials
