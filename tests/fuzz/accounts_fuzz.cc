// Property: whatever an image's passwd and group hold, a user is found or refused, and no id is the
// one that means "leave it". The first line is whom to look for, the rest up to a NUL byte passwd,
// what follows group.
#include <sys/stat.h>

#include <cstdint>
#include <cstdlib>
#include <fstream>
#include <string>
#include <string_view>

#include "base/temp_dir.h"
#include "dockerfile/files/users.h"

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  using namespace starling;  // NOLINT(google-build-using-namespace)
  static const TempDir root = *TempDir::Make("/tmp", "accounts-fuzz-");
  std::string_view text(reinterpret_cast<const char*>(data), size);
  const size_t line_end = text.find('\n');
  if (line_end == std::string_view::npos) {
    return 0;
  }
  const std::string_view wanted = text.substr(0, line_end);
  text.remove_prefix(line_end + 1);
  const size_t nul = std::min(text.find('\0'), text.size());
  ::mkdir((root.path() / "etc").c_str(), 0700);
  std::ofstream(root.path() / "etc" / "passwd", std::ios::binary) << text.substr(0, nul);
  std::ofstream(root.path() / "etc" / "group", std::ios::binary)
      << text.substr(std::min(nul + 1, text.size()));
  const auto user = dockerfile::files::FindUser(root.path(), wanted);
  if (user.ok() && (user->uid == UINT32_MAX || user->gid == UINT32_MAX)) {
    std::abort();
  }
  const auto owner = dockerfile::files::FindOwner(root.path(), wanted);
  if (owner.ok() && (owner->uid == UINT32_MAX || owner->gid == UINT32_MAX)) {
    std::abort();
  }
  return 0;
}
