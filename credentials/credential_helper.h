/// Docker's credential helpers: programs docker-credential-NAME, found in PATH, that are told one
/// word what to do. Each call blocks, for `timeout` at most; then the program and its children are
/// killed. Errors never hold what a helper printed, except for its one-line message when it failed.
#pragma once

#include <chrono>
#include <string>

#include "base/status.h"
#include "registry/credentials.h"

namespace starling::credentials {

/// The credentials of `server` that the helper `name` has ("get"); anonymous ones when it has none.
StatusOr<registry::Credentials> AskCredentialHelper(const std::string& name,
                                                    const std::string& server,
                                                    std::chrono::milliseconds timeout);
/// Has the helper keep a user name and password for `server` ("store").
Status StoreInCredentialHelper(const std::string& name, const std::string& server,
                               const registry::Credentials& login,
                               std::chrono::milliseconds timeout);
/// Has the helper forget what it keeps for `server` ("erase"); fine when that is nothing.
Status EraseFromCredentialHelper(const std::string& name, const std::string& server,
                                 std::chrono::milliseconds timeout);

}  // namespace starling::credentials
