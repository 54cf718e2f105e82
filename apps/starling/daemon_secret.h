#pragma once

#include <string>

#include "apps/starling/commands.h"
#include "oci/reference.h"

namespace CLI {
class App;
}

namespace starling::cli {

inline constexpr const char* kDaemonSocket = "/run/starling/starling.sock";

/// --starlingd SOCKET, for commands that make starlingd read layers with their secret.
void AddDaemonOption(CLI::App& command, std::string& socket);

/// Gives starlingd the command's secret, if it has one, for its own reads of `image`. Without it
/// layers are downloaded, so that nothing but a line on standard error comes of a failure; and not
/// even that where no starlingd is.
void GiveDaemonSecret(const std::string& socket, const RegistryOptions& options,
                      const oci::Reference& image);

}  // namespace starling::cli
