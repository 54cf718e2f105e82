/// Digests of released files, as sha256sum(1) writes them and projects publish them.
#pragma once

#include <cstddef>
#include <functional>
#include <string_view>

#include "base/status.h"
#include "oci/digest.h"

namespace starling::dockerfile::python {

/// As much as the SHA256SUMS of a release may have.
inline constexpr size_t kMaxSumsBytes = size_t{8} << 20;

/// Calls `read` for each line: DIGEST, two blanks, FILE. Empty lines and those with a `#` in front
/// are passed over. Errors have the line's number: kInvalidArgument, or what `read` says, which
/// ends it; kResourceExhausted for more than kMaxSumsBytes.
Status ReadSums(
    std::string_view sums,
    const std::function<Status(const oci::Digest& digest, std::string_view file)>& read);

}  // namespace starling::dockerfile::python
