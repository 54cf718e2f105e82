#pragma once

#include <string>

#include "base/status.h"

namespace starling::control {

/// Gives the process that serves starling.control.v1 on the unix socket `address` the text of a
/// secret for its reads of a repository. Blocks, 10 seconds at most. Errors: kUnavailable when
/// nobody answers there, or what that process says.
Status RememberSecret(const std::string& address, const std::string& registry,
                      const std::string& repository, const std::string& secret);

}  // namespace starling::control
