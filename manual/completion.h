/// Completions of a command line for shells. A value whose choices are not known is completed as a
/// file's name.
#pragma once

#include <string>

#include "manual/command_tree.h"

namespace starling::manual {

/// For bash 4 or newer; to be sourced, needs no other package.
std::string BashCompletion(const Command& program);

/// For zsh: a file `_PROGRAM` in its fpath.
std::string ZshCompletion(const Command& program);

/// For fish 3.
std::string FishCompletion(const Command& program);

}  // namespace starling::manual
