/// How devices of this machine are given to containers: the files of the Container Device
/// Interface, that vendors write. Source: CDI specification 1.0.
#pragma once

#include <cstdint>
#include <map>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "base/status.h"

namespace starling::cdi {

inline constexpr size_t kMaxSpecBytes = 4 << 20;

using Annotations = std::map<std::string, std::string>;

struct DeviceNode {
  std::string path;       // in the container
  std::string host_path;  // empty: the same
  std::string type;       // "c", "b", "u" or "p"; empty: as on the host, with its numbers
  std::optional<int64_t> major;
  std::optional<int64_t> minor;
  std::optional<uint32_t> mode;
  std::optional<uint32_t> uid;
  std::optional<uint32_t> gid;
  std::string access;  // some of "rwm"; empty: all

  friend bool operator==(const DeviceNode&, const DeviceNode&) = default;
};

struct Mount {
  std::string host_path;
  std::string container_path;
  std::string type;
  std::vector<std::string> options;

  friend bool operator==(const Mount&, const Mount&) = default;
};

struct Hook {
  std::string name;  // of the OCI runtime specification: "createContainer"
  std::string path;
  std::vector<std::string> arguments;
  std::vector<std::string> environment;
  std::optional<int64_t> timeout_seconds;

  friend bool operator==(const Hook&, const Hook&) = default;
};

/// What a container needs to use a device.
struct Edits {
  std::vector<std::string> environment;  // NAME=value
  std::vector<DeviceNode> nodes;
  std::vector<Mount> mounts;
  std::vector<Hook> hooks;
  std::vector<uint32_t> additional_gids;

  void Append(const Edits& others);
  friend bool operator==(const Edits&, const Edits&) = default;
};

struct Device {
  std::string name;
  Annotations annotations;
  Edits edits;
};

/// The devices of one kind that one file describes.
struct Spec {
  std::string kind;  // "vendor.com/class"
  Annotations annotations;
  Edits edits;  // for any of them
  std::vector<Device> devices;
};

/// Whether `kind` is VENDOR/CLASS.
bool IsKind(std::string_view kind);
/// Whether `name` can be that of a device.
bool IsDeviceName(std::string_view name);

/// Reads JSON or YAML. Errors: kInvalidArgument with the place (devices[2].name), also for members
/// that are not known; kUnimplemented for edits that no process of ours can be given: resource
/// groups, network devices.
StatusOr<Spec> ParseSpec(std::string_view text);

}  // namespace starling::cdi
