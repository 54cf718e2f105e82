#pragma once

#include <string>
#include <vector>

#include "base/status.h"
#include "dockerfile/syntax/position.h"

namespace starling::cli {

inline constexpr int kExitWarnings = 3;
inline constexpr int kExitCannotBeBuilt = 4;

struct CheckArguments {
  /// A Dockerfile, a directory with one, or - for standard input.
  std::string path;
  std::vector<std::string> build_arguments;
  std::string target;
  std::string platform;
  bool json = false;
};

/// "NAME:LINE:COLUMN: error: ..." with a suggestion, and below it the place in the Dockerfile
/// `text`.
std::string ProblemText(const std::string& name, std::string_view text,
                        const dockerfile::syntax::Problem& problem);

/// Prints what lint finds. `exit_code` becomes kExitWarnings or kExitCannotBeBuilt accordingly.
Status CheckDockerfile(const CheckArguments& arguments, int& exit_code);

}  // namespace starling::cli
