#pragma once

#include <functional>
#include <string>

#include "http/answer.h"
#include "layer/counters.h"
#include "mount/layer_host.h"
#include "registry/transfer_counters.h"

namespace starling::metrics {

/// What the page is about.
struct PageSources {
  const layer::FetchCounters& fetches;
  const mount::MountCounters& mounts;
  const registry::TransferCounters& transfers;
  mount::HostState host;
  std::string version;     // of the program
  std::string data_plane;  // how layers are shown
};

/// All metrics as text; docs/metrics.md says what each means. No label has a value from outside.
std::string WritePage(const PageSources& sources);

/// Serves what `write` writes at /metrics alone.
http::Handler HandlerOf(std::function<std::string()> write);

}  // namespace starling::metrics
