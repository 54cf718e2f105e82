#pragma once

#include "base/status.h"
#include "base/unique_fd.h"

namespace starling {

/// The two ends of a pipe(2).
struct Pipe {
  UniqueFd read_end;
  UniqueFd write_end;
};

StatusOr<Pipe> MakePipe();

}  // namespace starling
