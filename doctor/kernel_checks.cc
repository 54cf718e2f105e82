#include <charconv>

#include "base/text.h"
#include "doctor/checks.h"

namespace starling::doctor {
namespace {

/// Has the module at once and after the next boot.
std::vector<Step> LoadModule(const Host& host, const std::string& module) {
  return {Step::Run("modprobe " + module),
          host.AddLine("/etc/modules-load.d/starling.conf", module)};
}

bool IsMissing(const Status& status) { return status.code() == StatusCode::kUnimplemented; }

}  // namespace

Findings CheckPrivileges(const Host& host) {
  if (host.machine().IsRoot()) {
    return {};
  }
  return {{.check = "privileges",
           .severity = Severity::kWarning,
           .what = "this was not run as root",
           .why = "what the kernel can do, sockets and permissions are seen by root only, so "
                  "findings may be missing or be no fault of the machine",
           .cure = {Step::Run("sudo starling doctor")}}};
}

Findings CheckFuse(const Host& host) {
  const Status type = host.machine().HasFileSystem("fuse");
  if (IsMissing(type)) {
    return {{.check = "kernel.fuse",
             .severity = Severity::kError,
             .what = "the kernel has no FUSE",
             .why = "every lazy layer is read through it; starlingd does not start",
             .cure = LoadModule(host, "fuse")}};
  }
  const Status device = host.machine().OpenFuseDevice();
  if (device.code() == StatusCode::kNotFound) {
    return {{.check = "kernel.fuse-device",
             .severity = Severity::kError,
             .what = "there is no /dev/fuse",
             .why = "starlingd opens it at its start, and does not start without",
             .cure = {Step::Run("mknod -m 0666 /dev/fuse c 10 229")}}};
  }
  if (!device.ok() && host.machine().IsRoot()) {
    return {{.check = "kernel.fuse-device",
             .severity = Severity::kError,
             .what = "/dev/fuse cannot be opened: " + std::string(MessageOf(device)),
             .why = "starlingd opens it at its start, and does not start without",
             .cure = {Step::Advise("allow the device c 10:229 rw to the container or service in "
                                   "which starlingd runs")}}};
  }
  return {};
}

Findings CheckOverlay(const Host& host) {
  if (!IsMissing(host.machine().HasFileSystem("overlay"))) {
    return {};
  }
  return {{.check = "kernel.overlay",
           .severity = Severity::kError,
           .what = "the kernel has no overlay file system",
           .why = "a container's files are an overlay over its image's layers",
           .cure = LoadModule(host, "overlay")}};
}

Findings CheckErofs(const Host& host) {
  const bool is_demanded = host.settings().mount.data_plane == config::DataPlane::kErofs;
  const bool is_old = host.kernel() < std::pair(6, 12);
  if (is_old && is_demanded) {
    return {{.check = "kernel.data-plane",
             .severity = Severity::kError,
             .what = fmt::format("data_plane = \"erofs\" needs Linux 6.12, this is {}",
                                 host.machine().KernelRelease()),
             .why = "starlingd refuses to start",
             .cure = {host.Edit(host.places().starling_config,
                                {.keys = {{{"mount"}, "data_plane", "auto"}}, .lists = {}})}}};
  }
  if (is_old || host.settings().mount.data_plane == config::DataPlane::kTree ||
      !IsMissing(host.machine().HasFileSystem("erofs"))) {
    return {};
  }
  return {{.check = "kernel.erofs",
           .severity = is_demanded ? Severity::kError : Severity::kWarning,
           .what = "the kernel has no EROFS",
           .why = "the kernel cannot read the layers' indexes itself, so that each name and "
                  "attribute is asked of starlingd when it is first needed, and complete layers "
                  "still need it",
           .cure = LoadModule(host, "erofs")}};
}

Findings CheckKernelVersion(const Host& host) {
  const auto kernel = host.kernel();
  if (kernel < std::pair(5, 15)) {
    return {{.check = "kernel.version",
             .severity = Severity::kError,
             .what = fmt::format("Linux {} is older than 5.15", host.machine().KernelRelease()),
             .why = "what starlingd uses of mounts and overlays is not there, or was not tried",
             .cure = {Step::Advise("use a newer kernel; 6.12 and later have everything")}}};
  }
  if (kernel < std::pair(6, 9)) {
    return {{.check = "kernel.version",
             .severity = Severity::kNote,
             .what = fmt::format("Linux {} is older than 6.9", host.machine().KernelRelease()),
             .why = "reads that are under way fail when starlingd is killed, or wait for ever",
             .cure = {Step::Advise("use a newer kernel; 6.12 and later have everything")}}};
  }
  if (kernel < std::pair(6, 12)) {
    return {{.check = "kernel.version",
             .severity = Severity::kNote,
             .what = fmt::format("Linux {} is older than 6.12", host.machine().KernelRelease()),
             .why = "FUSE answers for names, too, and containers in user namespaces get a copy of "
                    "their image",
             .cure = {Step::Advise("use a newer kernel")}}};
  }
  return {};
}

Findings CheckFuseTimeouts(const Host& host) {
  Findings findings;
  // 0: no deadline at all; the kernel waits for what is being read.
  const auto& deadline = host.settings().registry.read_deadline;
  for (const char* name : {"default_request_timeout", "max_request_timeout"}) {
    const StatusOr<std::string> text = host.Read(std::string("/proc/sys/fs/fuse/") + name);
    if (!text.ok()) {
      continue;
    }
    const std::string_view trimmed = TrimSpace(*text);
    uint64_t seconds = 0;
    std::from_chars(trimmed.data(), trimmed.data() + trimmed.size(), seconds);
    if (seconds == 0 || (deadline && seconds > static_cast<uint64_t>(deadline->count()))) {
      continue;
    }
    findings.push_back(
        {.check = "kernel.fuse-timeout",
         .severity = Severity::kError,
         .what = fmt::format("fs.fuse.{} = {} is shorter than reads may wait", name, seconds),
         .why = "the kernel ends the whole connection when one read takes longer, and every lazy "
                "layer of the machine with it",
         .cure = {
             Step::Run(fmt::format("sysctl -w fs.fuse.{}=0", name)),
             host.AddLine("/etc/sysctl.d/90-starling.conf", fmt::format("fs.fuse.{} = 0", name))}});
  }
  return findings;
}

}  // namespace starling::doctor
