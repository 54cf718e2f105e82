#include "apps/starling/daemon_secret.h"

#include <CLI/CLI.hpp>
#include <cstdio>
#include <filesystem>

#include "control/remote_credentials.h"
#include "credentials/named_secret.h"

namespace starling::cli {

void AddDaemonOption(CLI::App& command, std::string& socket) {
  command
      .add_option("--starlingd", socket,
                  "starlingd's socket; it gets the secret for its reads of the image's layers")
      ->envname("STARLING_ADDRESS")
      ->capture_default_str();
}

void GiveDaemonSecret(const std::string& socket, const RegistryOptions& options,
                      const oci::Reference& image) {
  std::error_code error;
  if (options.secret.empty() || !std::filesystem::exists(socket, error)) {
    return;
  }
  const auto give = [&]() -> Status {
    ASSIGN_OR_RETURN(const Bytes text,
                     credentials::ReadSecret(options.secret, credentials::Environment::OfProcess(),
                                             RealFileSystem()));
    return control::RememberSecret(socket, std::string(image.domain()),
                                   std::string(image.repository()), std::string(AsText(text)));
  };
  if (const Status given = give(); !given.ok()) {
    std::fprintf(stderr,
                 "starling: starlingd has not got the secret, so layers may be downloaded as a "
                 "whole: %s\n",
                 Describe(given).c_str());
  }
}

}  // namespace starling::cli
