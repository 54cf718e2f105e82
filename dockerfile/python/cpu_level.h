#pragma once

#include <optional>
#include <string_view>

#include "base/status.h"
#include "dockerfile/python/release.h"

namespace starling::dockerfile::python {

/// What every processor of the /proc/cpuinfo `text` can run; the baseline when it names none.
CpuLevel CpuLevelOf(std::string_view text);

/// Of this machine.
StatusOr<CpuLevel> HostCpuLevel();

/// "baseline", "v1" to "v4", or "native": what `host` runs, which is the processor that will run
/// programs; the baseline where that is not known. Errors: kInvalidArgument for another word;
/// kFailedPrecondition for a level above the host's.
StatusOr<CpuLevel> ParseCpuLevel(std::string_view text, std::optional<CpuLevel> host);

}  // namespace starling::dockerfile::python
