#pragma once

#include <cstdint>
#include <filesystem>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "base/status.h"

namespace starling::runc {

/// Who a process is. Numbers only: names mean something in the container's own files alone.
struct User {
  uint32_t uid = 0;
  uint32_t gid = 0;
  std::vector<uint32_t> additional_gids;
};

/// As mount(8) has it. `destination` is an absolute path in the container, which runc resolves
/// inside of the root.
struct Mount {
  std::string destination;
  std::string type;
  std::string source;
  std::vector<std::string> options;
};

enum class Network {
  kHost,
  kNone,  // loopback only, and that is down
};

enum class Security {
  kSandbox,   // docker's default capabilities, seccomp, hidden paths
  kInsecure,  // all capabilities that there are, and devices; nothing hidden
};

/// A limit of setrlimit(2): "RLIMIT_NOFILE".
struct ProcessLimit {
  std::string type;
  uint64_t soft = 0;
  uint64_t hard = 0;
};

/// Of the control group; what is absent is not limited.
struct Resources {
  std::optional<uint64_t> memory_bytes;
  /// Processors, such as 1.5.
  std::optional<double> cpus;
  std::optional<uint64_t> processes;
};

/// A device file that is made in the container.
struct Device {
  std::string path;
  char type = 'c';  // or 'b', 'p'
  int64_t major = 0;
  int64_t minor = 0;
  std::optional<uint32_t> mode;
  std::optional<uint32_t> uid;
  std::optional<uint32_t> gid;
  std::string access = "rwm";  // what the control group allows
};

/// A program of the machine that runs at a point of the container's life.
struct Hook {
  std::string point;  // "createContainer"
  std::string path;
  std::vector<std::string> arguments;
  std::vector<std::string> environment;
  std::optional<int64_t> timeout_seconds;
};

/// One command in a container of its own.
struct ContainerSpec {
  std::filesystem::path root;  // mounted, writable
  std::vector<std::string> arguments;
  std::vector<std::string> environment;  // NAME=value
  std::string working_directory = "/";
  User user;
  std::string hostname;
  Network network = Network::kHost;
  Security security = Security::kSandbox;
  std::vector<Mount> mounts;  // over the usual ones: /proc, /dev, /sys and below
  uint64_t shm_bytes = 64 << 20;
  std::vector<Device> devices;  // beside the usual ones
  std::vector<Hook> hooks;
  std::vector<ProcessLimit> limits;
  Resources resources;
  std::string cgroups_path;  // empty: runc's own choice
  bool terminal = false;     // its three streams are a terminal of its own
};

/// The config.json of the container's bundle. Pure. Who starts it has the `available_capabilities`,
/// one bit each: no more can be given. kInvalidArgument for texts that are not UTF-8,
/// which runc cannot be told.
/// Source: OCI runtime specification 1.0.2; the defaults are docker's and containerd's, so that
/// what runs there runs here.
StatusOr<std::string> MakeConfig(const ContainerSpec& spec, uint64_t available_capabilities);

}  // namespace starling::runc
