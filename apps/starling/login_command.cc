#include <unistd.h>

#include <cstdio>
#include <memory>
#include <nlohmann/json.hpp>
#include <string>

#include "apps/starling/commands.h"
#include "apps/starling/toolbox.h"
#include "base/clock.h"
#include "base/executor.h"
#include "base/file_system.h"
#include "base/io.h"
#include "base/terminal.h"
#include "credentials/docker_config.h"
#include "credentials/docker_logins.h"
#include "credentials/environment.h"
#include "registry/client.h"
#include "registry/curl_transport.h"

namespace starling::cli {
namespace {

constexpr uint64_t kMaxPasswordBytes = 64 << 10;

struct Arguments {
  std::string host = "docker.io";
  std::string username;
  bool password_from_stdin = false;
  bool plaintext = false;
  bool json = false;
  RegistryOptions registries;
};

/// What was typed, until the registry has seen it.
class Typed : public registry::CredentialSource {
 public:
  explicit Typed(registry::Credentials credentials) : credentials_(std::move(credentials)) {}
  std::string Name() const override { return "the command line"; }
  StatusOr<registry::Credentials> Find(const registry::CredentialRequest&) override {
    return credentials_;
  }

 private:
  const registry::Credentials credentials_;
};

credentials::DockerLogins Logins() {
  return {RealFileSystem(),
          credentials::DockerConfig::PathIn(credentials::Environment::OfProcess())};
}

StatusOr<std::string> ReadPassword(const Arguments& arguments) {
  if (!arguments.password_from_stdin) {
    return AskOnTerminal(STDIN_FILENO, "Password: ", Echo::kHidden);
  }
  FdSource input(STDIN_FILENO);
  ASSIGN_OR_RETURN(const Bytes bytes, ReadAll(input, kMaxPasswordBytes));
  std::string password(AsText(bytes));
  // The end of the line belongs to the file, not to the password.
  if (password.ends_with('\n')) {
    password.pop_back();
  }
  if (password.ends_with('\r')) {
    password.pop_back();
  }
  return password;
}

StatusOr<registry::Credentials> Ask(const Arguments& arguments) {
  if (!arguments.password_from_stdin && ::isatty(STDIN_FILENO) == 0) {
    return MakeError(StatusCode::kInvalidArgument,
                     "the password is asked for on a terminal; where there is none, give it by "
                     "-u USER --password-stdin");
  }
  registry::Credentials login{.username = arguments.username};
  if (login.username.empty()) {
    ASSIGN_OR_RETURN(login.username, AskOnTerminal(STDIN_FILENO, "User name: ", Echo::kShown));
  }
  ASSIGN_OR_RETURN(login.password, ReadPassword(arguments));
  if (login.username.empty() || login.password.empty()) {
    return MakeError(StatusCode::kInvalidArgument, "a user name and a password are needed");
  }
  return login;
}

StatusOr<registry::Client::LoginCheck> Check(const std::string& registry,
                                             const registry::Credentials& login,
                                             const RegistryOptions& options) {
  Typed typed(login);
  registry::CurlTransport http;
  ThreadPool helpers("helper", 1);
  registry::Client client(
      ClientOptionsOf(options),
      {.transport = http, .credentials = {&typed}, .clock = SystemClock(), .executor = helpers});
  return client.CheckLogin(registry);
}

Status Login(const Arguments& arguments) {
  using credentials::DockerLogins;
  ASSIGN_OR_RETURN(const std::string registry, credentials::RegistryOfHost(arguments.host));
  const DockerLogins logins = Logins();
  const auto plaintext =
      arguments.plaintext ? DockerLogins::Plaintext::kAllowed : DockerLogins::Plaintext::kRefused;
  // Before anybody types a password in vain.
  RETURN_IF_ERROR(logins.PlaceFor(registry, plaintext).status());
  ASSIGN_OR_RETURN(const registry::Credentials login, Ask(arguments));
  const auto checked = Check(registry, login, arguments.registries);
  if (!checked.ok()) {
    return MakeError(checked.status().code(),
                     fmt::format("{}; nothing was stored", MessageOf(checked.status())));
  }
  const bool verified = *checked == registry::Client::LoginCheck::kAccepted;
  ASSIGN_OR_RETURN(const std::string place, logins.Store(registry, login, plaintext));
  if (!verified) {
    std::fprintf(stderr, "%s asks nobody for a login, so the password could not be checked\n",
                 registry.c_str());
  }
  if (arguments.json) {
    const nlohmann::ordered_json json = {{"registry", registry},
                                         {"username", login.username},
                                         {"verified", verified},
                                         {"storedIn", place}};
    std::printf("%s\n", json.dump(2, ' ', false, nlohmann::json::error_handler_t::replace).c_str());
  } else {
    std::printf("logged in to %s; stored in %s\n", registry.c_str(), place.c_str());
  }
  return OkStatus();
}

Status Logout(const Arguments& arguments) {
  ASSIGN_OR_RETURN(const std::string registry, credentials::RegistryOfHost(arguments.host));
  ASSIGN_OR_RETURN(const std::vector<std::string> places, Logins().Erase(registry));
  if (arguments.json) {
    const nlohmann::ordered_json json = {{"registry", registry}, {"erasedFrom", places}};
    std::printf("%s\n", json.dump(2).c_str());
  } else if (places.empty()) {
    std::printf("not logged in to %s\n", registry.c_str());
  }
  for (const std::string& place : places) {
    if (!arguments.json) {
      std::printf("logged out of %s: erased from %s\n", registry.c_str(), place.c_str());
    }
  }
  return OkStatus();
}

void AddHost(CLI::App& command, Arguments& arguments) {
  command.add_option("HOST", arguments.host, "The registry: host or host:port")
      ->capture_default_str();
  command.add_flag("--json", arguments.json, "Print JSON");
}

}  // namespace

void AddLogin(CLI::App& app, Run& chosen) {
  const auto arguments = std::make_shared<Arguments>();
  CLI::App& command = *app.add_subcommand(
      "login", "Check a user name and password with a registry, and store them as docker does");
  AddHost(command, *arguments);
  CLI::Option* const username = command.add_option("-u,--username", arguments->username,
                                                   "Asked for on a terminal if missing");
  command
      .add_flag("--password-stdin", arguments->password_from_stdin,
                "Read the password from standard input")
      ->needs(username);
  command.add_flag("--plaintext", arguments->plaintext,
                   "Where docker's configuration names no credential helper, store the password in "
                   "it, readable for its owner alone");
  // Not repeated in the message: it may be one already.
  command
      .add_option_function<std::string>(
          "-p,--password",
          [](const std::string&) {
            throw CLI::ValidationError(
                "a password among the arguments is seen by everybody on this machine and kept in "
                "the shell's history: pipe it to --password-stdin, or leave it out to be asked");
          })
      ->group("");
  AddConnectionOptions(command, arguments->registries);
  command.footer("Example: pass show ghcr | starling login ghcr.io -u me --password-stdin");
  command.callback([arguments, &chosen] { chosen = [arguments] { return Login(*arguments); }; });
}

void AddLogout(CLI::App& app, Run& chosen) {
  const auto arguments = std::make_shared<Arguments>();
  CLI::App& command = *app.add_subcommand(
      "logout", "Erase what is stored for a registry, from the credential helper and the file");
  AddHost(command, *arguments);
  command.footer("Example: starling logout ghcr.io");
  command.callback([arguments, &chosen] { chosen = [arguments] { return Logout(*arguments); }; });
}

}  // namespace starling::cli
