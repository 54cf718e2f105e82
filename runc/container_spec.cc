#include "runc/container_spec.h"

#include <array>
#include <cerrno>
#include <nlohmann/json.hpp>

namespace starling::runc {
namespace {

using Json = nlohmann::json;

/// By number. Source: capabilities(7).
constexpr std::array kCapabilities = {"CAP_CHOWN",
                                      "CAP_DAC_OVERRIDE",
                                      "CAP_DAC_READ_SEARCH",
                                      "CAP_FOWNER",
                                      "CAP_FSETID",
                                      "CAP_KILL",
                                      "CAP_SETGID",
                                      "CAP_SETUID",
                                      "CAP_SETPCAP",
                                      "CAP_LINUX_IMMUTABLE",
                                      "CAP_NET_BIND_SERVICE",
                                      "CAP_NET_BROADCAST",
                                      "CAP_NET_ADMIN",
                                      "CAP_NET_RAW",
                                      "CAP_IPC_LOCK",
                                      "CAP_IPC_OWNER",
                                      "CAP_SYS_MODULE",
                                      "CAP_SYS_RAWIO",
                                      "CAP_SYS_CHROOT",
                                      "CAP_SYS_PTRACE",
                                      "CAP_SYS_PACCT",
                                      "CAP_SYS_ADMIN",
                                      "CAP_SYS_BOOT",
                                      "CAP_SYS_NICE",
                                      "CAP_SYS_RESOURCE",
                                      "CAP_SYS_TIME",
                                      "CAP_SYS_TTY_CONFIG",
                                      "CAP_MKNOD",
                                      "CAP_LEASE",
                                      "CAP_AUDIT_WRITE",
                                      "CAP_AUDIT_CONTROL",
                                      "CAP_SETFCAP",
                                      "CAP_MAC_OVERRIDE",
                                      "CAP_MAC_ADMIN",
                                      "CAP_SYSLOG",
                                      "CAP_WAKE_ALARM",
                                      "CAP_BLOCK_SUSPEND",
                                      "CAP_AUDIT_READ",
                                      "CAP_PERFMON",
                                      "CAP_BPF",
                                      "CAP_CHECKPOINT_RESTORE"};
/// What docker gives every container: chown, dac_override, fowner, fsetid, kill, setgid, setuid,
/// setpcap, net_bind_service, net_raw, sys_chroot, mknod, audit_write and setfcap.
constexpr uint64_t kDefaultCapabilities = 0xa80425fb;

/// They reach the machine through the kernel's own interfaces, whatever the namespaces are.
constexpr std::array kMaskedPaths = {"/proc/acpi",          "/proc/asound",
                                     "/proc/kcore",         "/proc/keys",
                                     "/proc/latency_stats", "/proc/sched_debug",
                                     "/proc/scsi",          "/proc/timer_list",
                                     "/proc/timer_stats",   "/sys/devices/virtual/powercap",
                                     "/sys/firmware"};
constexpr std::array kReadOnlyPaths = {"/proc/bus", "/proc/fs", "/proc/irq", "/proc/sys",
                                       "/proc/sysrq-trigger"};

/// Calls that change the machine, or that have led out of containers, and that no build needs. The
/// rest is allowed, so that programs newer than this list run.
constexpr std::array kDeniedCalls = {"acct",
                                     "add_key",
                                     "bpf",
                                     "clock_adjtime",
                                     "clock_adjtime64",
                                     "clock_settime",
                                     "clock_settime64",
                                     "create_module",
                                     "delete_module",
                                     "finit_module",
                                     "fsconfig",
                                     "fsmount",
                                     "fsopen",
                                     "fspick",
                                     "get_kernel_syms",
                                     "init_module",
                                     "io_uring_enter",
                                     "io_uring_register",
                                     "io_uring_setup",
                                     "ioperm",
                                     "iopl",
                                     "kcmp",
                                     "kexec_file_load",
                                     "kexec_load",
                                     "keyctl",
                                     "lookup_dcookie",
                                     "mount",
                                     "mount_setattr",
                                     "move_mount",
                                     "move_pages",
                                     "nfsservctl",
                                     "open_by_handle_at",
                                     "open_tree",
                                     "perf_event_open",
                                     "pivot_root",
                                     "process_vm_readv",
                                     "process_vm_writev",
                                     "query_module",
                                     "quotactl",
                                     "quotactl_fd",
                                     "reboot",
                                     "request_key",
                                     "setdomainname",
                                     "sethostname",
                                     "setns",
                                     "settimeofday",
                                     "stime",
                                     "swapoff",
                                     "swapon",
                                     "sysfs",
                                     "syslog",
                                     "umount",
                                     "umount2",
                                     "unshare",
                                     "uselib",
                                     "userfaultfd",
                                     "ustat",
                                     "vm86",
                                     "vm86old"};
/// Flags of clone(2) that make namespaces: mount, cgroup, uts, ipc, user, pid, net.
constexpr std::array<uint64_t, 7> kNamespaceFlags = {0x00020000, 0x02000000, 0x04000000, 0x08000000,
                                                     0x10000000, 0x20000000, 0x40000000};
constexpr uint64_t kAfVsock = 40;  // reaches the hypervisor
constexpr uint64_t kCpuPeriodMicroseconds = 100'000;

Json Capabilities(Security security, uint64_t available) {
  const uint64_t given = security == Security::kInsecure ? available : kDefaultCapabilities;
  Json names = Json::array();
  for (size_t number = 0; number < kCapabilities.size(); ++number) {
    if ((given >> number & 1) != 0) {
      names.push_back(kCapabilities[number]);
    }
  }
  // None is inheritable: a program with file capabilities must not gain them (CVE-2022-24769).
  return {{"bounding", names}, {"effective", names}, {"permitted", names}};
}

Json Process(const ContainerSpec& spec, uint64_t available) {
  Json limits = Json::array();
  for (const ProcessLimit& limit : spec.limits) {
    limits.push_back({{"type", limit.type}, {"soft", limit.soft}, {"hard", limit.hard}});
  }
  Json user = {{"uid", spec.user.uid}, {"gid", spec.user.gid}, {"umask", 022}};
  if (!spec.user.additional_gids.empty()) {
    user["additionalGids"] = spec.user.additional_gids;
  }
  return {{"terminal", spec.terminal},
          {"user", std::move(user)},
          {"args", spec.arguments},
          {"env", spec.environment},
          {"cwd", spec.working_directory},
          {"capabilities", Capabilities(spec.security, available)},
          {"rlimits", std::move(limits)},
          {"noNewPrivileges", false}};  // sudo is a part of many builds
}

Json MountJson(const Mount& mount) {
  return {{"destination", mount.destination},
          {"type", mount.type},
          {"source", mount.source},
          {"options", mount.options}};
}

Json Mounts(const ContainerSpec& spec) {
  const bool is_insecure = spec.security == Security::kInsecure;
  const char* sys_mode = is_insecure ? "rw" : "ro";
  const std::vector<Mount> usual = {
      {"/proc", "proc", "proc", {"nosuid", "noexec", "nodev"}},
      {"/dev", "tmpfs", "tmpfs", {"nosuid", "strictatime", "mode=755", "size=65536k"}},
      {"/dev/pts",
       "devpts",
       "devpts",
       {"nosuid", "noexec", "newinstance", "ptmxmode=0666", "mode=0620", "gid=5"}},
      {"/dev/shm",
       "tmpfs",
       "shm",
       {"nosuid", "noexec", "nodev", "mode=1777", "size=" + std::to_string(spec.shm_bytes)}},
      {"/dev/mqueue", "mqueue", "mqueue", {"nosuid", "noexec", "nodev"}},
      {"/sys", "sysfs", "sysfs", {"nosuid", "noexec", "nodev", sys_mode}},
      {"/sys/fs/cgroup", "cgroup", "cgroup", {"nosuid", "noexec", "nodev", "relatime", sys_mode}},
  };
  Json mounts = Json::array();
  for (const Mount& mount : usual) {
    mounts.push_back(MountJson(mount));
  }
  for (const Mount& mount : spec.mounts) {
    mounts.push_back(MountJson(mount));
  }
  return mounts;
}

Json DeniedWhen(const char* call, const Json& argument) {
  return {{"names", {call}},
          {"action", "SCMP_ACT_ERRNO"},
          {"errnoRet", EPERM},
          {"args", Json::array({argument})}};
}

Json Seccomp() {
  Json calls = Json::array();
  calls.push_back({{"names", kDeniedCalls}, {"action", "SCMP_ACT_ERRNO"}, {"errnoRet", EPERM}});
  // Its flags lie in memory, where no filter looks; told that there is no such call, programs take
  // clone instead.
  calls.push_back({{"names", {"clone3"}}, {"action", "SCMP_ACT_ERRNO"}, {"errnoRet", ENOSYS}});
  for (const uint64_t flag : kNamespaceFlags) {
    calls.push_back(DeniedWhen(
        "clone",
        {{"index", 0}, {"value", flag}, {"valueTwo", flag}, {"op", "SCMP_CMP_MASKED_EQ"}}));
  }
  calls.push_back(DeniedWhen("socket", {{"index", 0}, {"value", kAfVsock}, {"op", "SCMP_CMP_EQ"}}));
#if defined(__aarch64__)
  const Json architectures = {"SCMP_ARCH_AARCH64", "SCMP_ARCH_ARM"};
#else
  const Json architectures = {"SCMP_ARCH_X86_64", "SCMP_ARCH_X86", "SCMP_ARCH_X32"};
#endif
  return {{"defaultAction", "SCMP_ACT_ALLOW"},
          {"architectures", architectures},
          {"syscalls", std::move(calls)}};
}

Json ResourcesJson(const ContainerSpec& spec) {
  const Resources& resources = spec.resources;
  Json out = Json::object();
  // The devices that every container has are runc's to add.
  Json devices =
      Json::array({{{"allow", spec.security == Security::kInsecure}, {"access", "rwm"}}});
  for (const Device& device : spec.devices) {
    if (device.type != 'p') {
      devices.push_back({{"allow", true},
                         {"type", std::string(1, device.type)},
                         {"major", device.major},
                         {"minor", device.minor},
                         {"access", device.access}});
    }
  }
  out["devices"] = std::move(devices);
  if (resources.memory_bytes) {
    // Swap would only make it slow before it fails.
    out["memory"] = {{"limit", *resources.memory_bytes}, {"swap", *resources.memory_bytes}};
  }
  if (resources.cpus) {
    const double quota = *resources.cpus * static_cast<double>(kCpuPeriodMicroseconds);
    out["cpu"] = {{"quota", static_cast<int64_t>(quota)}, {"period", kCpuPeriodMicroseconds}};
  }
  if (resources.processes) {
    out["pids"] = {{"limit", *resources.processes}};
  }
  return out;
}

Json Devices(const std::vector<Device>& devices) {
  Json out = Json::array();
  for (const Device& device : devices) {
    Json entry = {{"path", device.path}, {"type", std::string(1, device.type)}};
    if (device.type != 'p') {
      entry["major"] = device.major;
      entry["minor"] = device.minor;
    }
    const auto add = [&entry](const char* name, const std::optional<uint32_t>& value) {
      if (value) {
        entry[name] = *value;
      }
    };
    add("fileMode", device.mode);
    add("uid", device.uid);
    add("gid", device.gid);
    out.push_back(std::move(entry));
  }
  return out;
}

/// By the points at which they run, in order.
Json Hooks(const std::vector<Hook>& hooks) {
  Json out = Json::object();
  for (const Hook& hook : hooks) {
    Json entry = {{"path", hook.path}, {"args", hook.arguments}, {"env", hook.environment}};
    if (hook.timeout_seconds) {
      entry["timeout"] = *hook.timeout_seconds;
    }
    out[hook.point].push_back(std::move(entry));
  }
  return out;
}

Json Linux(const ContainerSpec& spec) {
  Json namespaces = Json::array({{{"type", "pid"}},
                                 {{"type", "ipc"}},
                                 {{"type", "uts"}},
                                 {{"type", "mount"}},
                                 {{"type", "cgroup"}}});
  if (spec.network == Network::kNone) {
    namespaces.push_back({{"type", "network"}});
  }
  Json out = {{"namespaces", std::move(namespaces)}, {"resources", ResourcesJson(spec)}};
  if (!spec.devices.empty()) {
    out["devices"] = Devices(spec.devices);
  }
  if (!spec.cgroups_path.empty()) {
    out["cgroupsPath"] = spec.cgroups_path;
  }
  if (spec.security == Security::kSandbox) {
    out["seccomp"] = Seccomp();
    out["maskedPaths"] = kMaskedPaths;
    out["readonlyPaths"] = kReadOnlyPaths;
  }
  return out;
}

}  // namespace

StatusOr<std::string> MakeConfig(const ContainerSpec& spec, uint64_t available_capabilities) {
  Json config = {{"ociVersion", "1.0.2"},
                 {"process", Process(spec, available_capabilities)},
                 {"root", {{"path", spec.root.native()}, {"readonly", false}}},
                 {"mounts", Mounts(spec)},
                 {"linux", Linux(spec)}};
  if (!spec.hooks.empty()) {
    config["hooks"] = Hooks(spec.hooks);
  }
  if (!spec.hostname.empty()) {
    config["hostname"] = spec.hostname;
  }
  try {
    return config.dump(2);
  } catch (const Json::type_error&) {
    return MakeError(StatusCode::kInvalidArgument,
                     "a command, its environment or a path in it is not UTF-8 text");
  }
}

}  // namespace starling::runc
