#pragma once

#include <cstdint>
#include <string>

namespace starling::fuse {

/// Sets how far the kernel reads ahead in the files of one file system, which `device` names below
/// /sys/class/bdi. Only speed depends on it, so a /sys that is not there or not writable is no
/// error: false.
bool SetReadAhead(const std::string& device, uint32_t read_ahead_kib);

}  // namespace starling::fuse
