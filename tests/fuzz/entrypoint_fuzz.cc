// Property: a script is refused, or has commands with words, each on one of its lines; how it ends
// is said the same way each time, with a reason.
#include <algorithm>
#include <cstdint>
#include <cstdlib>
#include <string_view>

#include "dockerfile/entrypoint/shell_script.h"

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  namespace entrypoint = starling::dockerfile::entrypoint;
  const std::string_view text(reinterpret_cast<const char*>(data), size);
  const auto commands = entrypoint::CommandsOf(text);
  const auto lines = std::count(text.begin(), text.end(), '\n') + 1;
  if (commands.ok()) {
    for (const entrypoint::Command& command : *commands) {
      if (command.words.empty() || command.line < 1 || command.line > lines) {
        std::abort();
      }
    }
  }
  const entrypoint::ScriptEnd end = entrypoint::EndOf(text, {});
  const entrypoint::ScriptEnd again = entrypoint::EndOf(text, {});
  if (end.reason.empty() || end.verdict != again.verdict || end.reason != again.reason) {
    std::abort();
  }
  if (!commands.ok() && end.verdict != entrypoint::Verdict::kCannotTell) {
    std::abort();
  }
  return 0;
}
