#pragma once

#include <string>
#include <string_view>
#include <vector>

namespace starling::registry {

/// The target of the first link with the relation "next" in the values of Link headers, as it was
/// written; empty when there is none. What cannot be read is skipped.
/// Source: RFC 8288, section 3; the OCI distribution specification uses it for pages.
std::string NextLink(const std::vector<std::string_view>& values);

}  // namespace starling::registry
