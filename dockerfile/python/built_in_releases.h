#pragma once

#include <string_view>

namespace starling::dockerfile::python {

/// The digests of released files, as sha256sum(1) writes them.
std::string_view BuiltInSums();

}  // namespace starling::dockerfile::python
