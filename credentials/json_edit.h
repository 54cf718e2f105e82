/// Changes to a JSON text that leave every other byte of it as it is: the file belongs to others.
/// Pure. The text must be a JSON object (kInvalidArgument), and so must be what a path leads
/// through.
#pragma once

#include <string>
#include <string_view>
#include <vector>

#include "base/status.h"

namespace starling::credentials {

/// `text` with the member that `path` names set to the JSON text `value`; objects on the way are
/// made where they are missing.
StatusOr<std::string> SetJsonMember(std::string_view text, const std::vector<std::string>& path,
                                    std::string_view value);
/// `text` without the members that `path` names; fine when there is none.
StatusOr<std::string> EraseJsonMember(std::string_view text, const std::vector<std::string>& path);

}  // namespace starling::credentials
