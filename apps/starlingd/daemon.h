#pragma once

#include <functional>

#include "apps/starlingd/takeover.h"
#include "base/status.h"
#include "config/settings.h"
#include "keeper/descriptors.h"

namespace starling {

/// What becomes of the mounts.
enum class EndOfService {
  kStop,      // they are taken down
  kHandOver,  // the next server goes on with them
};

/// Constructs everything from `settings`, beginning with what `takeover` has, tells the keeper
/// through `channel` what to keep, and serves until `wait_for_end` returns. Errors say what keeps
/// the server from starting; mounts of an earlier one stay then.
Status RunDaemon(const config::Settings& settings, Takeover takeover, keeper::Channel& channel,
                 const std::function<EndOfService()>& wait_for_end);

}  // namespace starling
