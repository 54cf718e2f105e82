#pragma once

#include <chrono>
#include <string>

#include "base/status.h"
#include "registry/credentials.h"

namespace starling::credentials {

/// Asks the program docker-credential-`name` (found in PATH) for the credentials of `server`, by
/// docker's helper protocol: "get", the server on standard input, JSON on standard output.
/// Blocks, for `timeout` at most; then the program and its children are killed.
/// Anonymous credentials when the helper knows none. Errors never hold what the helper printed,
/// except for its one-line message when it failed.
StatusOr<registry::Credentials> AskCredentialHelper(const std::string& name,
                                                    const std::string& server,
                                                    std::chrono::milliseconds timeout);

}  // namespace starling::credentials
