#pragma once

#include <optional>
#include <string>

#include "base/status.h"

namespace starling::dockerfile::python {

/// The program that the kernel loads a program by ("/lib64/ld-linux-x86-64.so.2"); nothing for one
/// that is linked statically. The file is untrusted. Errors: kInvalidArgument for what is no
/// program of a 64-bit little-endian machine. Source: System V ABI, program header PT_INTERP.
StatusOr<std::optional<std::string>> InterpreterOf(int file);

}  // namespace starling::dockerfile::python
