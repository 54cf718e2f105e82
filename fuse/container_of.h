#pragma once

#include <sys/types.h>

#include <string>
#include <string_view>

namespace starling::fuse {

/// The container that /proc/PID/cgroup names: what containerd (with systemd or without), CRI,
/// nerdctl, Docker, CRI-O and podman call their cgroups. Empty: none of them.
std::string ContainerIn(std::string_view cgroup);

/// The container of a thread of this PID namespace; empty: none, or it is gone. May wait for a lock
/// of the kernel's that others hold while they wait for reads of ours: not for threads that answer
/// reads.
std::string ContainerOf(pid_t thread);

}  // namespace starling::fuse
