// Property: an ignore file is refused, or decides about any path the same way each time, and by a
// pattern that says so. The first line is the path, the rest the file.
#include <cstdint>
#include <cstdlib>
#include <string_view>

#include "dockerfile/syntax/characters.h"
#include "dockerfile/syntax/ignore_file.h"

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  using starling::dockerfile::syntax::IgnoreFile;
  const std::string_view text(reinterpret_cast<const char*>(data), size);
  const std::string_view path = text.substr(0, text.find('\n'));
  const auto file = IgnoreFile::Parse(text.substr(path.size()));
  if (!file.ok()) {
    return 0;
  }
  const auto decision = file->Explain(path);
  const auto again = file->Explain(path);
  if (decision.ignored != again.ignored || decision.pattern != again.pattern) {
    std::abort();
  }
  // As Docker has it, "/ !a" is the pattern " !a", which is the exception "!a".
  const bool includes =
      decision.pattern == nullptr ||
      starling::dockerfile::syntax::TrimUnicodeSpace(decision.pattern->text).starts_with('!');
  if (decision.ignored == includes) {
    std::abort();
  }
  // A name at the root is out when everything is.
  const bool name = !path.empty() && path.find_first_of("/\r") == std::string_view::npos;
  if (name && file->IgnoresEverything() && !decision.ignored) {
    std::abort();
  }
  return 0;
}
