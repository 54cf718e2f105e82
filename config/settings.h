#pragma once

#include <chrono>
#include <cstdint>
#include <map>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "base/file_system.h"
#include "base/log.h"
#include "base/status.h"

namespace starling::config {

/// How lazy layers are shown: files of FUSE, or mounts of EROFS with their data on FUSE.
enum class DataPlane { kAuto, kTree, kErofs };

/// Who fetches layers that cannot be lazy: we, as a whole, or containerd.
enum class PlainLayers { kEager, kContainerd };

/// How layers that can be lazy are fetched: decided for each, or all alike.
enum class FetchPreference { kAuto, kLazy, kEager };

/// What an operator can choose; the defaults work. config/default.toml shows and explains every
/// key.
struct Settings {
  /// Everything that outlives a restart. Absolute.
  std::string root = "/var/lib/starling";
  /// The unix socket that containerd connects to. Absolute.
  std::string address = "/run/starling/starling.sock";
  log::Level log_level = log::Level::kInfo;
  /// Whether the server gives up all system calls but those that it needs (confine/).
  bool limit_system_calls = true;

  struct Registry {
    /// "host" or "host:port"; loopback addresses need no entry.
    std::vector<std::string> plain_http_hosts;
    std::chrono::seconds request_timeout = std::chrono::seconds(30);
    std::chrono::seconds blob_timeout = std::chrono::seconds(300);
    uint32_t max_retries = 5;
    /// How long reads wait for a registry that is away; nothing: for ever.
    using Deadline = std::optional<std::chrono::seconds>;
    Deadline read_deadline = std::chrono::seconds(900);
    struct Host {
      std::optional<Deadline> read_deadline;  // instead of the one above
      bool local = false;                     // may be at a loopback or link-local address

      friend bool operator==(const Host&, const Host&) = default;
    };
    std::map<std::string, Host> hosts;  // by "host" or "host:port"
    /// Directories as containerd's certs.d, in order; they may not exist.
    std::vector<std::string> config_path = {"/etc/containerd/certs.d"};

    friend bool operator==(const Registry&, const Registry&) = default;
  } registry;

  struct Store {
    uint32_t decode_threads = 2;
    uint64_t max_size_bytes = 0;  // 0: no cap

    friend bool operator==(const Store&, const Store&) = default;
  } store;

  struct Fuse {
    uint32_t threads = 2;

    friend bool operator==(const Fuse&, const Fuse&) = default;
  } fuse;

  struct Mount {
    DataPlane data_plane = DataPlane::kAuto;

    friend bool operator==(const Mount&, const Mount&) = default;
  } mount;

  /// What is fetched before anybody reads it.
  struct Fetch {
    PlainLayers plain_layers = PlainLayers::kEager;
    bool keep_gzip_indexes = true;
    /// "host" or "host:port", or "*": registries whose pushers decide what plain gzip layers hold.
    std::vector<std::string> gzip_indexes_from;
    FetchPreference policy = FetchPreference::kAuto;
    bool prefetch = true;
    uint64_t prefetch_size_bytes = 0;
    bool background = true;
    bool record_profiles = true;
    uint64_t max_bytes_per_second = 0;  // 0: no cap
    uint64_t max_bytes_per_second_per_image = 0;
    uint64_t background_max_bytes_per_second = 0;

    friend bool operator==(const Fetch&, const Fetch&) = default;
  } fetch;

  /// Where credentials come from besides the places that need no setting.
  struct Credentials {
    std::vector<std::string> pull_secrets;  // files or directories
    std::string image_credential_provider_config;
    std::string image_credential_provider_bin_dir;

    friend bool operator==(const Credentials&, const Credentials&) = default;
  } credentials;

  /// The image service of the Container Runtime Interface, through us.
  struct Cri {
    std::string image_socket;  // where it is served; empty: not at all
    std::string backend = "/run/containerd/containerd.sock";
    std::chrono::seconds credentials_max_age = std::chrono::hours(24);

    friend bool operator==(const Cri&, const Cri&) = default;
  } cri;

  struct Metrics {
    std::string address;  // as base/socket_address.h; empty: they are not served

    friend bool operator==(const Metrics&, const Metrics&) = default;
  } metrics;

  /// The web page.
  struct Page {
    std::string address;  // as base/socket_address.h, unix or loopback; empty: it is not served

    friend bool operator==(const Page&, const Page&) = default;
  } page;

  friend bool operator==(const Settings&, const Settings&) = default;
};

struct ParsedSettings {
  Settings settings;
  /// One line each, with file and line: keys of containerd-stargz-grpc that have no meaning here.
  std::vector<std::string> warnings;
};

/// Reads TOML. The keys of containerd-stargz-grpc's configuration are accepted, so that its file
/// can be handed over: some mean the same here, the others are warned of. kInvalidArgument as
/// "FILE:LINE:COLUMN: what" for bad syntax, unknown keys, wrong types and values out of range,
/// and for a wish to skip verification, which is never done. `file` only names the text in
/// messages.
StatusOr<ParsedSettings> ParseSettings(std::string_view toml, std::string_view file);

/// Where starlingd looks for its configuration when it is told of none.
inline constexpr std::string_view kDefaultFile = "/etc/starling/config.toml";

/// The settings in `file`, which then must exist; without it those in kDefaultFile, or the defaults
/// when that is not there.
StatusOr<ParsedSettings> ReadSettings(FileSystem& files, const std::optional<std::string>& file);

/// A socket's or root's path must be absolute; `what` begins the message.
Status CheckAbsolutePath(std::string_view what, std::string_view path);

}  // namespace starling::config
