// Property: a table of releases is refused and leaves nothing, or every release in it is chosen by
// its own version, for a machine that can run it.
#include <cstdint>
#include <cstdlib>
#include <string_view>

#include "base/bytes.h"
#include "dockerfile/python/release_table.h"

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  using namespace starling::dockerfile;  // NOLINT(google-build-using-namespace)
  const std::string_view text = starling::AsText(std::as_bytes(std::span(data, size)));
  python::ReleaseTable table;
  if (!table.Add(text).ok()) {
    return table.size() == 0 ? 0 : (std::abort(), 0);
  }
  for (size_t begin = 0; begin < text.size();) {
    const size_t end = std::min(text.find_first_of(" *\r\n", begin), text.size());
    const auto release = python::ParseReleaseFile(text.substr(begin, end - begin));
    begin = end + 1;
    if (!release) {
      continue;
    }
    const auto chosen = table.Choose(
        {python::VersionOf(*release), release->architecture, release->cpu, release->libc},
        [](const python::Release&) { return true; });
    // It may stand in a comment.
    if (chosen.ok() && (chosen->cpu > release->cpu || chosen->libc != release->libc ||
                        python::VersionOf(*chosen) != python::VersionOf(*release))) {
      std::abort();
    }
  }
  return 0;
}
