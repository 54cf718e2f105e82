/// What an examination finds, and what cures it.
#pragma once

#include <string>
#include <vector>

#include "setup/line_edit.h"

namespace starling::doctor {

enum class Severity {
  kNote,     // could be better; nothing is wrong
  kWarning,  // works, but not always or not well
  kError,    // does not work
};

/// One step of a cure, for a person or a program to take.
struct Step {
  std::string file;  // not empty: `edits` of this file
  std::vector<setup::LineEdit> edits;
  size_t lines = 0;     // that the file has now
  std::string command;  // not empty: to be run by a shell
  std::string advice;   // what only a person can do

  static Step Run(std::string command);
  static Step Advise(std::string advice);

  friend bool operator==(const Step&, const Step&) = default;
};

struct Finding {
  std::string check;  // such as "containerd.plugin"; never changes its meaning
  Severity severity = Severity::kError;
  std::string what;  // is wrong, in one line
  std::string why;   // it matters
  std::vector<Step> cure;

  friend bool operator==(const Finding&, const Finding&) = default;
};

using Findings = std::vector<Finding>;

}  // namespace starling::doctor
