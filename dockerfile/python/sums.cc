#include "dockerfile/python/sums.h"

#include <algorithm>
#include <string>

#include "base/text.h"

namespace starling::dockerfile::python {
namespace {

constexpr size_t kDigestDigits = 64;

}  // namespace

Status ReadSums(
    std::string_view sums,
    const std::function<Status(const oci::Digest& digest, std::string_view file)>& read) {
  if (sums.size() > kMaxSumsBytes) {
    return MakeError(StatusCode::kResourceExhausted,
                     fmt::format("more than {} bytes", kMaxSumsBytes));
  }
  for (int number = 1; !sums.empty(); ++number) {
    const std::string_view line = TrimSpace(TakeLine(sums));
    if (line.empty() || line.starts_with('#')) {
      continue;
    }
    const auto digest = oci::Digest::Parse("sha256:" + std::string(line.substr(0, kDigestDigits)));
    std::string_view file = line.substr(std::min(line.size(), kDigestDigits));
    if (!digest.ok() || !file.starts_with(' ')) {
      return MakeError(
          StatusCode::kInvalidArgument,
          fmt::format("line {}: this must be a SHA-256 digest, two blanks and the name of a "
                      "release's file",
                      number));
    }
    file = TrimSpace(file);
    if (file.starts_with('*')) {
      file.remove_prefix(1);
    }
    RETURN_IF_ERROR(Annotate(read(*digest, file), fmt::format("line {}", number)));
  }
  return OkStatus();
}

}  // namespace starling::dockerfile::python
