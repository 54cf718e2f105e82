/// The lines of an image's history, as BuildKit writes them: tools compare them.
#pragma once

#include <chrono>
#include <span>
#include <string>
#include <vector>

#include "dockerfile/plan/image_draft.h"

namespace starling::dockerfile::plan {

/// `["a" "b"]`, as Go's %q writes a list.
std::string QuotedList(std::span<const std::string> words);
/// `[a b]`, as Go's %v.
std::string PlainList(std::span<const std::string> words);
/// "1m30s", "500ms", "0s", as Go writes a duration.
std::string DurationText(std::chrono::nanoseconds duration);
/// Of HEALTHCHECK.
std::string HealthText(const HealthCheck& check);

}  // namespace starling::dockerfile::plan
