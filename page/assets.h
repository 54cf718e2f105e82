#pragma once

#include <string_view>

namespace starling::page {

/// What page/assets had when the program was built.
extern const std::string_view kIndexHtml;
extern const std::string_view kPageCss;
extern const std::string_view kPageJs;

}  // namespace starling::page
