#pragma once

#include <string>
#include <string_view>

#include "base/status.h"

namespace starling {

enum class Echo { kShown, kHidden };

/// Shows `prompt` on the terminal `fd` and reads one line from it, without its end; longer lines
/// than 4095 bytes are cut by the kernel. The terminal is as before when this returns, also after a
/// signal that would have ended the process: kCancelled, as for the end of input.
/// To be called before other threads start, which would take those signals.
StatusOr<std::string> AskOnTerminal(int fd, std::string_view prompt, Echo echo);

}  // namespace starling
