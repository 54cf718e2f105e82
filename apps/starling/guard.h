#pragma once

#include <functional>

namespace starling::cli {

/// Goes on in a child process, which this returns in. The parent stays behind, passes SIGINT and
/// SIGTERM on and ends as the child does, after `cleanup` if a signal ended that: what the child
/// has begun does not outlive it. When the parent dies first, the child gets SIGTERM. Before any
/// thread starts.
void GuardProcess(const std::function<void()>& cleanup);

}  // namespace starling::cli
