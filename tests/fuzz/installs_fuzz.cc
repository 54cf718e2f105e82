// Property: what apt, pip or uv is said to have printed is refused, or becomes lines that are a
// package each, and never an option.
#include <cstdint>
#include <cstdlib>
#include <string_view>

#include "dockerfile/recipe/installs.h"

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  namespace recipe = starling::dockerfile::recipe;
  using Kind = recipe::Install::Kind;
  if (size == 0) {
    return 0;
  }
  constexpr Kind kKinds[] = {Kind::kApt, Kind::kPip, Kind::kUv};
  const Kind kind = kKinds[data[0] % 3];
  const std::string_view text(reinterpret_cast<const char*>(data) + 1, size - 1);
  const size_t end = text.find('\0');
  const std::string_view plan = end == std::string_view::npos ? "" : text.substr(end + 1);
  const auto lines = recipe::LinesOfResolved(kind, text.substr(0, end), plan);
  if (lines.ok()) {
    for (const std::string_view line : *lines) {
      const std::string_view needed = kind == Kind::kApt ? "=" : " --hash=sha256:";
      if (line.starts_with('-') || line.find('\n') != std::string_view::npos ||
          line.find(needed) == std::string_view::npos) {
        std::abort();
      }
    }
  }
  const auto options = recipe::IndexLinesOf(text);
  if (options.ok()) {
    for (const std::string_view line : *options) {
      if (!line.starts_with('-') || line.find('\n') != std::string_view::npos) {
        std::abort();
      }
    }
  }
  return 0;
}
