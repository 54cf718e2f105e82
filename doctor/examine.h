#pragma once

#include <string>
#include <string_view>
#include <vector>

#include "doctor/finding.h"
#include "doctor/host.h"

namespace starling::doctor {

/// One thing that is looked at. A check changes nothing on the machine that stays.
struct Check {
  std::string_view name;
  Findings (*run)(const Host&);
};

/// All of them, in the order in which their findings should be cured.
const std::vector<Check>& Checks();
/// What they find.
Findings Examine(const Host& host);

/// For a person; notes only if `with_notes`.
std::string AsText(const Findings& findings, bool with_notes);
/// One step alone, indented as there.
std::string AsText(const Step& step);
/// Bytes of files, fit for a terminal.
std::string Shown(std::string_view text);
/// For programs: docs/doctor.md.
std::string AsJson(const Findings& findings);
/// Of the worst of `findings`: 0 for none and notes, 3 for warnings, 4 for errors.
int ExitCodeOf(const Findings& findings);

}  // namespace starling::doctor
