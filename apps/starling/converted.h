/// How commands tell what was converted.
#pragma once

#include <nlohmann/json.hpp>
#include <string>

#include "convert/convert.h"

namespace starling::cli {

nlohmann::ordered_json ConvertedToJson(const convert::ConvertReport& report);
/// `name` is that of what was written.
void PrintConverted(const std::string& name, const convert::ConvertReport& report);

}  // namespace starling::cli
