/// Manual pages in the macros of man(7).
#pragma once

#include <string>

#include "manual/command_tree.h"

namespace starling::manual {

struct ManPageSettings {
  int section = 1;
  std::string version;  ///< of the program, such as "starling 0.1.0"
  std::string date;     ///< such as "2026-11-29"; may be empty
  std::string above;    ///< name of the page of the command above; empty: none
};

/// "starling-cache-pin" of the command "starling cache pin".
std::string PageName(const Command& command);

/// The page of one command: its commands have pages of their own and are named only. Lines of the
/// footer that begin with "Example:" become the EXAMPLES.
std::string ManPage(const Command& command, const ManPageSettings& settings);

}  // namespace starling::manual
