/// What a process tells of its layers as JSON, for scripts and for the page. Names of files are as
/// the layers have them: to be dumped with error_handler_t::replace.
#pragma once

#include <chrono>
#include <nlohmann/json.hpp>
#include <string>
#include <vector>

#include "layer/activity.h"
#include "layer/status.h"

namespace starling::inspect {

/// RFC 3339, to the millisecond.
std::string FormatTimestamp(std::chrono::system_clock::time_point time);
double Seconds(layer::ReadTimes::Duration time);

/// {"images": [...]}; docs/status.md says what each number is, as for all that follows.
nlohmann::ordered_json ToJson(const std::vector<layer::ImageStatus>& images);
/// An array.
nlohmann::ordered_json ToJson(const std::vector<layer::ContainerStalls>& containers);
nlohmann::ordered_json ToJson(const std::vector<layer::Fallback>& fallbacks);
/// {"forgotten": N, "reads": [...], "containers": [...], "fallbacks": [...]}
nlohmann::ordered_json ToJson(const layer::TracedReads& traced);
/// An array.
nlohmann::ordered_json ToJson(const std::vector<layer::ImageActivity>& activities);
/// {"starts": [...]}; times of single entries are seconds since the first read.
nlohmann::ordered_json ToJson(const std::vector<layer::ImageStart>& starts);

}  // namespace starling::inspect
