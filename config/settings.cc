#include "config/settings.h"

#include <algorithm>
#include <array>
#include <functional>
#include <numeric>
#include <optional>

#include "base/socket_address.h"
#include "base/toml.h"

namespace starling::config {
namespace {

constexpr int64_t kMaxThreads = 256;
constexpr int64_t kMaxBytes = int64_t{1} << 50;
constexpr int64_t kMaxSeconds = 7 * 24 * 3600;
constexpr int64_t kMaxRetries = 100;
constexpr uint64_t kMaxFileBytes = 1 << 20;

/// One file while it is read.
class Reader {
 public:
  explicit Reader(std::string_view file) : file_(file) {}
  Status ReadTable(const toml::table& table, const std::string& path);
  ParsedSettings& parsed() { return parsed_; }

  Settings& settings() { return parsed_.settings; }
  Status ErrorAt(const toml::source_region& place, std::string_view what) const {
    return MakeError(StatusCode::kInvalidArgument, Located(place, what));
  }
  void WarnAt(const toml::source_region& place, std::string_view what) {
    parsed_.warnings.push_back(Located(place, what));
  }
  std::string Located(const toml::source_region& place, std::string_view what) const {
    return fmt::format("{}:{}:{}: {}", file_, place.begin.line, place.begin.column, what);
  }

 private:
  Status ReadHosts(const toml::node& hosts);
  Status ReadMirrors(const toml::node& hosts);
  Status ReadMirror(const std::string& registry, const toml::node& mirror);

  std::string file_;
  ParsedSettings parsed_;
};

std::string_view TypeName(const toml::node& node) {
  switch (node.type()) {
    case toml::node_type::table:
      return "a table";
    case toml::node_type::array:
      return "a list";
    case toml::node_type::string:
      return "a text";
    case toml::node_type::integer:
      return "a whole number";
    case toml::node_type::floating_point:
      return "a number with a fraction";
    case toml::node_type::boolean:
      return "true or false";
    default:
      return "a date or time";
  }
}

Status WrongType(const Reader& reader, const toml::node& node, std::string_view key,
                 std::string_view wanted) {
  return reader.ErrorAt(node.source(),
                        fmt::format("{} must be {}, not {}", key, wanted, TypeName(node)));
}

struct Rule {
  std::string_view path;
  std::function<Status(Reader&, const toml::node&, std::string_view key)> read;
};

StatusOr<std::string> ReadText(Reader& reader, const toml::node& node, std::string_view key) {
  if (!node.is_string()) {
    return WrongType(reader, node, key, "a text");
  }
  return node.as_string()->get();
}

struct Range {
  int64_t least;
  int64_t most;
};
StatusOr<int64_t> ReadNumber(Reader& reader, const toml::node& node, std::string_view key,
                             Range range) {
  if (!node.is_integer()) {
    return WrongType(reader, node, key, "a whole number");
  }
  const int64_t number = node.as_integer()->get();
  if (number < range.least || number > range.most) {
    return reader.ErrorAt(node.source(), fmt::format("{} must be between {} and {}, not {}", key,
                                                     range.least, range.most, number));
  }
  return number;
}

StatusOr<bool> ReadBool(Reader& reader, const toml::node& node, std::string_view key) {
  if (!node.is_boolean()) {
    return WrongType(reader, node, key, "true or false");
  }
  return node.as_boolean()->get();
}

Status CheckHost(Reader& reader, const toml::node& node, const std::string& host) {
  const bool plain = std::ranges::all_of(host, [](char c) {
    return static_cast<unsigned char>(c) > 0x20 && c != 0x7f && c != '/' && c != '@';
  });
  if (host.empty() || !plain) {
    return reader.ErrorAt(
        node.source(), fmt::format("\"{}\" is not a host or host:port (no scheme, no path)", host));
  }
  return OkStatus();
}

auto AbsolutePath(std::string Settings::* member) {
  return [member](Reader& reader, const toml::node& node, std::string_view key) -> Status {
    ASSIGN_OR_RETURN(const std::string path, ReadText(reader, node, key));
    if (const Status checked = CheckAbsolutePath(key, path); !checked.ok()) {
      return reader.ErrorAt(node.source(), MessageOf(checked));
    }
    reader.settings().*member = path;
    return OkStatus();
  };
}

enum class Empty { kRefused, kAllowed };
template <typename Table>
auto PathIn(Table Settings::* table, std::string Table::* member, Empty empty) {
  return [table, member, empty](Reader& reader, const toml::node& node,
                                std::string_view key) -> Status {
    ASSIGN_OR_RETURN(const std::string path, ReadText(reader, node, key));
    const bool is_nothing = path.empty() && empty == Empty::kAllowed;
    if (const Status checked = CheckAbsolutePath(key, path); !is_nothing && !checked.ok()) {
      return reader.ErrorAt(node.source(), MessageOf(checked));
    }
    reader.settings().*table.*member = path;
    return OkStatus();
  };
}

Status ReadPullSecrets(Reader& reader, const toml::node& node, std::string_view key) {
  if (!node.is_array()) {
    return WrongType(reader, node, key, "a list of texts");
  }
  for (const toml::node& item : *node.as_array()) {
    ASSIGN_OR_RETURN(const std::string path, ReadText(reader, item, key));
    if (const Status checked = CheckAbsolutePath(key, path); !checked.ok()) {
      return reader.ErrorAt(item.source(), MessageOf(checked));
    }
    reader.settings().credentials.pull_secrets.push_back(path);
  }
  return OkStatus();
}

Status ReadCredentialsMaxAge(Reader& reader, const toml::node& node, std::string_view key) {
  ASSIGN_OR_RETURN(const int64_t seconds,
                   ReadNumber(reader, node, key, {.least = 1, .most = kMaxSeconds}));
  reader.settings().cri.credentials_max_age = std::chrono::seconds(seconds);
  return OkStatus();
}

auto Seconds(std::chrono::seconds Settings::Registry::* member) {
  return [member](Reader& reader, const toml::node& node, std::string_view key) -> Status {
    ASSIGN_OR_RETURN(const int64_t seconds,
                     ReadNumber(reader, node, key, {.least = 1, .most = kMaxSeconds}));
    reader.settings().registry.*member = std::chrono::seconds(seconds);
    return OkStatus();
  };
}

StatusOr<Settings::Registry::Deadline> ReadDeadline(Reader& reader, const toml::node& node,
                                                    std::string_view key) {
  ASSIGN_OR_RETURN(const int64_t seconds,
                   ReadNumber(reader, node, key, {.least = 0, .most = kMaxSeconds}));
  return seconds == 0 ? Settings::Registry::Deadline() : std::chrono::seconds(seconds);
}

Status ReadDefaultDeadline(Reader& reader, const toml::node& node, std::string_view key) {
  ASSIGN_OR_RETURN(reader.settings().registry.read_deadline, ReadDeadline(reader, node, key));
  return OkStatus();
}

Status ReadLogLevel(Reader& reader, const toml::node& node, std::string_view key) {
  ASSIGN_OR_RETURN(const std::string name, ReadText(reader, node, key));
  const StatusOr<log::Level> level = log::ParseLevel(name);
  if (!level.ok()) {
    return reader.ErrorAt(node.source(), MessageOf(level.status()));
  }
  reader.settings().log_level = *level;
  return OkStatus();
}

Status ReadLimitSystemCalls(Reader& reader, const toml::node& node, std::string_view key) {
  ASSIGN_OR_RETURN(reader.settings().limit_system_calls, ReadBool(reader, node, key));
  return OkStatus();
}

Status ReadDataPlane(Reader& reader, const toml::node& node, std::string_view key) {
  static constexpr std::pair<std::string_view, DataPlane> kPlanes[] = {
      {"auto", DataPlane::kAuto}, {"tree", DataPlane::kTree}, {"erofs", DataPlane::kErofs}};
  ASSIGN_OR_RETURN(const std::string name, ReadText(reader, node, key));
  const auto* const plane =
      std::ranges::find(kPlanes, name, &std::pair<std::string_view, DataPlane>::first);
  if (plane == std::end(kPlanes)) {
    return reader.ErrorAt(node.source(),
                          fmt::format("{} must be auto, tree or erofs, not \"{}\"", key, name));
  }
  reader.settings().mount.data_plane = plane->second;
  return OkStatus();
}

Status ReadPlainLayers(Reader& reader, const toml::node& node, std::string_view key) {
  ASSIGN_OR_RETURN(const std::string name, ReadText(reader, node, key));
  if (name != "eager" && name != "containerd") {
    return reader.ErrorAt(node.source(),
                          fmt::format("{} must be eager or containerd, not \"{}\"", key, name));
  }
  reader.settings().fetch.plain_layers =
      name == "eager" ? PlainLayers::kEager : PlainLayers::kContainerd;
  return OkStatus();
}

Status ReadFetchPolicy(Reader& reader, const toml::node& node, std::string_view key) {
  static constexpr std::pair<std::string_view, FetchPreference> kPolicies[] = {
      {"auto", FetchPreference::kAuto},
      {"lazy", FetchPreference::kLazy},
      {"eager", FetchPreference::kEager}};
  ASSIGN_OR_RETURN(const std::string name, ReadText(reader, node, key));
  const auto* const policy =
      std::ranges::find(kPolicies, name, &std::pair<std::string_view, FetchPreference>::first);
  if (policy == std::end(kPolicies)) {
    return reader.ErrorAt(node.source(),
                          fmt::format("{} must be auto, lazy or eager, not \"{}\"", key, name));
  }
  reader.settings().fetch.policy = policy->second;
  return OkStatus();
}

Status ReadGzipIndexesFrom(Reader& reader, const toml::node& node, std::string_view key) {
  if (!node.is_array()) {
    return WrongType(reader, node, key, "a list of texts");
  }
  for (const toml::node& item : *node.as_array()) {
    ASSIGN_OR_RETURN(const std::string host, ReadText(reader, item, key));
    RETURN_IF_ERROR(CheckHost(reader, item, host));
    reader.settings().fetch.gzip_indexes_from.push_back(host);
  }
  return OkStatus();
}

Status ReadPlainHttpHosts(Reader& reader, const toml::node& node, std::string_view key) {
  if (!node.is_array()) {
    return WrongType(reader, node, key, "a list of texts");
  }
  for (const toml::node& item : *node.as_array()) {
    ASSIGN_OR_RETURN(const std::string host, ReadText(reader, item, key));
    RETURN_IF_ERROR(CheckHost(reader, item, host));
    reader.settings().registry.plain_http_hosts.push_back(host);
  }
  return OkStatus();
}

/// As in containerd's configuration: directories with colons between them. Empty: none.
Status ReadConfigPath(Reader& reader, const toml::node& node, std::string_view key) {
  ASSIGN_OR_RETURN(std::string text, ReadText(reader, node, key));
  std::vector<std::string>& directories = reader.settings().registry.config_path;
  directories.clear();
  for (std::string_view rest = text; !rest.empty();) {
    const std::string directory(rest.substr(0, rest.find(':')));
    rest.remove_prefix(std::min(rest.size(), directory.size() + 1));
    if (const Status checked = CheckAbsolutePath(key, directory); !checked.ok()) {
      return reader.ErrorAt(node.source(), MessageOf(checked));
    }
    directories.push_back(directory);
  }
  return OkStatus();
}

Status ReadMaxRetries(Reader& reader, const toml::node& node, std::string_view key) {
  ASSIGN_OR_RETURN(const int64_t retries,
                   ReadNumber(reader, node, key, {.least = 0, .most = kMaxRetries}));
  reader.settings().registry.max_retries = static_cast<uint32_t>(retries);
  return OkStatus();
}

Status ReadDecodeThreads(Reader& reader, const toml::node& node, std::string_view key) {
  ASSIGN_OR_RETURN(const int64_t threads,
                   ReadNumber(reader, node, key, {.least = 1, .most = kMaxThreads}));
  reader.settings().store.decode_threads = static_cast<uint32_t>(threads);
  return OkStatus();
}

Status ReadMaxStoreBytes(Reader& reader, const toml::node& node, std::string_view key) {
  ASSIGN_OR_RETURN(const int64_t bytes,
                   ReadNumber(reader, node, key, {.least = 0, .most = kMaxBytes}));
  reader.settings().store.max_size_bytes = static_cast<uint64_t>(bytes);
  return OkStatus();
}

Status ReadFuseThreads(Reader& reader, const toml::node& node, std::string_view key) {
  ASSIGN_OR_RETURN(const int64_t threads,
                   ReadNumber(reader, node, key, {.least = 1, .most = kMaxThreads}));
  reader.settings().fuse.threads = static_cast<uint32_t>(threads);
  return OkStatus();
}

Status ReadMetricsAddress(Reader& reader, const toml::node& node, std::string_view key) {
  ASSIGN_OR_RETURN(const std::string address, ReadText(reader, node, key));
  if (const Status checked = SocketAddress::Parse(address).status();
      !address.empty() && !checked.ok()) {
    return reader.ErrorAt(node.source(), fmt::format("{}: {}", key, MessageOf(checked)));
  }
  reader.settings().metrics.address = address;
  return OkStatus();
}

Status ReadPageAddress(Reader& reader, const toml::node& node, std::string_view key) {
  ASSIGN_OR_RETURN(const std::string address, ReadText(reader, node, key));
  if (!address.empty()) {
    const auto parsed = SocketAddress::Parse(address);
    if (!parsed.ok()) {
      return reader.ErrorAt(node.source(), fmt::format("{}: {}", key, MessageOf(parsed.status())));
    }
    if (!parsed->is_local()) {
      return reader.ErrorAt(
          node.source(),
          fmt::format("{}: \"{}\" is open to other machines, and the page names images and files: "
                      "it must be unix:/PATH, 127.0.0.1:PORT or [::1]:PORT",
                      key, address));
    }
  }
  reader.settings().page.address = address;
  return OkStatus();
}

auto Switch(bool Settings::Fetch::* member, bool on) {
  return [member, on](Reader& reader, const toml::node& node, std::string_view key) -> Status {
    ASSIGN_OR_RETURN(const bool value, ReadBool(reader, node, key));
    reader.settings().fetch.*member = value == on;
    return OkStatus();
  };
}

auto ByteCount(uint64_t Settings::Fetch::* member) {
  return [member](Reader& reader, const toml::node& node, std::string_view key) -> Status {
    ASSIGN_OR_RETURN(const int64_t bytes,
                     ReadNumber(reader, node, key, {.least = 0, .most = kMaxBytes}));
    reader.settings().fetch.*member = static_cast<uint64_t>(bytes);
    return OkStatus();
  };
}

// A key of containerd-stargz-grpc without a meaning here.
Status Ignore(Reader& reader, const toml::node& node, std::string_view key) {
  reader.WarnAt(node.source(),
                fmt::format("{} is a setting of containerd-stargz-grpc without effect here", key));
  return OkStatus();
}

// Nobody gets unverified data because a file was handed over.
Status RefuseTrue(Reader& reader, const toml::node& node, std::string_view key) {
  ASSIGN_OR_RETURN(const bool wanted, ReadBool(reader, node, key));
  if (!wanted) {
    return OkStatus();
  }
  return reader.ErrorAt(node.source(),
                        fmt::format("{} = true: layers are always verified; remove the line (a "
                                    "layer without a TOC digest is downloaded whole instead)",
                                    key));
}

const std::vector<Rule>& Rules() {
  static const std::vector<Rule> rules = [] {
    std::vector<Rule> made = {
        {"root", AbsolutePath(&Settings::root)},
        {"address", AbsolutePath(&Settings::address)},
        {"log_level", ReadLogLevel},
        {"limit_system_calls", ReadLimitSystemCalls},
        {"registry.plain_http_hosts", ReadPlainHttpHosts},
        {"registry.request_timeout_sec", Seconds(&Settings::Registry::request_timeout)},
        {"registry.blob_timeout_sec", Seconds(&Settings::Registry::blob_timeout)},
        {"registry.max_retries", ReadMaxRetries},
        {"registry.read_deadline_sec", ReadDefaultDeadline},
        {"registry.config_path", ReadConfigPath},
        {"store.decode_threads", ReadDecodeThreads},
        {"store.max_size_bytes", ReadMaxStoreBytes},
        {"fuse.threads", ReadFuseThreads},
        {"mount.data_plane", ReadDataPlane},
        {"fetch.plain_layers", ReadPlainLayers},
        {"fetch.keep_gzip_indexes", Switch(&Settings::Fetch::keep_gzip_indexes, true)},
        {"fetch.gzip_indexes_from", ReadGzipIndexesFrom},
        {"fetch.policy", ReadFetchPolicy},
        {"fetch.prefetch", Switch(&Settings::Fetch::prefetch, true)},
        {"fetch.prefetch_size_bytes", ByteCount(&Settings::Fetch::prefetch_size_bytes)},
        {"fetch.background", Switch(&Settings::Fetch::background, true)},
        {"fetch.record_profiles", Switch(&Settings::Fetch::record_profiles, true)},
        {"fetch.max_bytes_per_second", ByteCount(&Settings::Fetch::max_bytes_per_second)},
        {"fetch.max_bytes_per_second_per_image",
         ByteCount(&Settings::Fetch::max_bytes_per_second_per_image)},
        {"fetch.background_max_bytes_per_second",
         ByteCount(&Settings::Fetch::background_max_bytes_per_second)},
        {"credentials.pull_secrets", ReadPullSecrets},
        {"credentials.image_credential_provider_config",
         PathIn(&Settings::credentials, &Settings::Credentials::image_credential_provider_config,
                Empty::kAllowed)},
        {"credentials.image_credential_provider_bin_dir",
         PathIn(&Settings::credentials, &Settings::Credentials::image_credential_provider_bin_dir,
                Empty::kAllowed)},
        {"cri.image_socket", PathIn(&Settings::cri, &Settings::Cri::image_socket, Empty::kAllowed)},
        {"cri.backend", PathIn(&Settings::cri, &Settings::Cri::backend, Empty::kRefused)},
        {"cri.credentials_max_age_sec", ReadCredentialsMaxAge},
        {"metrics.address", ReadMetricsAddress},
        {"page.address", ReadPageAddress},
        // Keys of containerd-stargz-grpc that mean the same.
        {"resolver.request_timeout_sec", Seconds(&Settings::Registry::request_timeout)},
        {"blob.fetching_timeout_sec", ReadDefaultDeadline},
        {"blob.max_retries", ReadMaxRetries},
        {"metrics_address", ReadMetricsAddress},
        {"prefetch_size", ByteCount(&Settings::Fetch::prefetch_size_bytes)},
        {"noprefetch", Switch(&Settings::Fetch::prefetch, false)},
        {"no_background_fetch", Switch(&Settings::Fetch::background, false)},
        {"allow_no_verification", RefuseTrue},
        {"disable_verification", RefuseTrue},
    };
    for (const std::string_view ignored : {"no_prometheus",
                                           "debug_address",
                                           "ipfs",
                                           "metadata_store",
                                           "http_cache_type",
                                           "filesystem_cache_type",
                                           "resolve_result_entry_ttl_sec",
                                           "resolve_result_entry",
                                           "prefetch_timeout_sec",
                                           "prefetch_async_size",
                                           "max_concurrency",
                                           "debug",
                                           "log_file_access",
                                           "blob.valid_interval",
                                           "blob.check_always",
                                           "blob.chunk_size",
                                           "blob.prefetch_chunk_size",
                                           "blob.force_single_range_mode",
                                           "blob.min_wait_msec",
                                           "blob.max_wait_msec",
                                           "directory_cache.max_lru_cache_entry",
                                           "directory_cache.max_cache_fds",
                                           "directory_cache.sync_add",
                                           "directory_cache.direct",
                                           "directory_cache.fadv_dontneed",
                                           "fuse.attr_timeout",
                                           "fuse.entry_timeout",
                                           "fuse.passthrough",
                                           "fuse.merge_buffer_size",
                                           "fuse.merge_worker_count",
                                           "kubeconfig_keychain.enable_keychain",
                                           "kubeconfig_keychain.kubeconfig_path",
                                           "cri_keychain.enable_keychain",
                                           "cri_keychain.image_service_path",
                                           "cri_keychain.listen_path",
                                           "snapshotter.allow_invalid_mounts_on_restart",
                                           "fuse_manager.enable",
                                           "fuse_manager.address",
                                           "fuse_manager.path",
                                           "fuse_manager.metrics_address"}) {
      made.push_back({ignored, Ignore});
    }
    return made;
  }();
  return rules;
}

// Insertions, deletions and replacements between two words.
size_t EditDistance(std::string_view a, std::string_view b) {
  std::vector<size_t> row(b.size() + 1);
  std::iota(row.begin(), row.end(), size_t{0});
  for (size_t i = 1; i <= a.size(); ++i) {
    size_t diagonal = row[0];
    row[0] = i;
    for (size_t j = 1; j <= b.size(); ++j) {
      const size_t replaced = diagonal + (a[i - 1] == b[j - 1] ? 0 : 1);
      diagonal = row[j];
      row[j] = std::min({replaced, row[j] + 1, row[j - 1] + 1});
    }
  }
  return row[b.size()];
}

// The known key nearest to `path`; none when all are far.
std::optional<std::string> Suggestion(std::string_view path) {
  constexpr size_t kMaxWord = 100;  // a longer one is no typing mistake
  if (path.size() > kMaxWord) {
    return std::nullopt;
  }
  std::optional<std::string> best;
  size_t best_distance = 3;
  for (const Rule& rule : Rules()) {
    std::vector<std::string_view> candidates = {rule.path};
    // A table may be misspelt as well as a key.
    if (const size_t dot = rule.path.find('.'); dot != std::string_view::npos) {
      candidates.push_back(rule.path.substr(0, dot));
    }
    for (const std::string_view candidate : candidates) {
      if (const size_t distance = EditDistance(path, candidate); distance < best_distance) {
        best_distance = distance;
        best = candidate;
      }
    }
  }
  return best;
}

bool IsTableOfRules(const std::string& path) {
  return std::ranges::any_of(
      Rules(), [&path](const Rule& rule) { return rule.path.starts_with(path + "."); });
}

Status Reader::ReadTable(const toml::table& table, const std::string& path) {
  for (const auto& [name, node] : table) {
    const std::string key = path + std::string(name.str());
    const auto rule = std::ranges::find(Rules(), key, &Rule::path);
    if (rule != Rules().end()) {
      RETURN_IF_ERROR(rule->read(*this, node, key));
      continue;
    }
    if (key == "registry.hosts") {
      RETURN_IF_ERROR(ReadHosts(node));
      continue;
    }
    if (key == "resolver.host") {
      RETURN_IF_ERROR(ReadMirrors(node));
      continue;
    }
    if (!IsTableOfRules(key)) {
      const std::optional<std::string> near = Suggestion(key);
      const std::string hint = near ? fmt::format(": did you mean \"{}\"?", *near) : "";
      return ErrorAt(name.source(), fmt::format("unknown setting \"{}\"{}", key, hint));
    }
    if (!node.is_table()) {
      return WrongType(*this, node, key, "a table");
    }
    RETURN_IF_ERROR(ReadTable(*node.as_table(), key + "."));
  }
  return OkStatus();
}

Status Reader::ReadHosts(const toml::node& hosts) {
  if (!hosts.is_table()) {
    return WrongType(*this, hosts, "registry.hosts", "a table");
  }
  for (const auto& [host, node] : *hosts.as_table()) {
    const std::string key = fmt::format("registry.hosts.\"{}\"", host.str());
    RETURN_IF_ERROR(CheckHost(*this, node, std::string(host.str())));
    if (!node.is_table()) {
      return WrongType(*this, node, key, "a table");
    }
    Settings::Registry::Host& read = settings().registry.hosts[std::string(host.str())];
    for (const auto& [name, value] : *node.as_table()) {
      const std::string full = fmt::format("{}.{}", key, name.str());
      if (name.str() == "read_deadline_sec") {
        ASSIGN_OR_RETURN(read.read_deadline, ReadDeadline(*this, value, full));
      } else if (name.str() == "local") {
        ASSIGN_OR_RETURN(read.local, ReadBool(*this, value, full));
      } else {
        return ErrorAt(name.source(), fmt::format("unknown setting \"{}\": read_deadline_sec and "
                                                  "local are known",
                                                  full));
      }
    }
  }
  return OkStatus();
}

Status Reader::ReadMirrors(const toml::node& hosts) {
  if (!hosts.is_table()) {
    return WrongType(*this, hosts, "resolver.host", "a table");
  }
  for (const auto& [registry, node] : *hosts.as_table()) {
    const std::string key = fmt::format("resolver.host.\"{}\"", registry.str());
    if (!node.is_table()) {
      return WrongType(*this, node, key, "a table");
    }
    for (const auto& [name, list] : *node.as_table()) {
      if (name.str() != "mirrors") {
        return ErrorAt(name.source(), fmt::format("unknown setting \"{}.{}\": did you mean "
                                                  "\"mirrors\"?",
                                                  key, name.str()));
      }
      if (!list.is_array()) {
        return WrongType(*this, list, key + ".mirrors", "a list of tables");
      }
      for (const toml::node& mirror : *list.as_array()) {
        RETURN_IF_ERROR(ReadMirror(std::string(registry.str()), mirror));
      }
    }
  }
  return OkStatus();
}

// Of a mirror only its permission for plain HTTP is used, unless it is the registry itself.
Status Reader::ReadMirror(const std::string& registry, const toml::node& mirror) {
  if (!mirror.is_table()) {
    return WrongType(*this, mirror, "mirrors", "a list of tables");
  }
  std::string host = registry;
  bool insecure = false;
  for (const auto& [name, node] : *mirror.as_table()) {
    if (name.str() == "host") {
      ASSIGN_OR_RETURN(host, ReadText(*this, node, "host"));
      RETURN_IF_ERROR(CheckHost(*this, node, host));
    } else if (name.str() == "insecure") {
      ASSIGN_OR_RETURN(insecure, ReadBool(*this, node, "insecure"));
    } else if (name.str() == "request_timeout_sec" || name.str() == "header") {
      RETURN_IF_ERROR(Ignore(*this, node, fmt::format("{} of a mirror", name.str())));
    } else {
      return ErrorAt(name.source(),
                     fmt::format("unknown setting \"{}\" of a mirror: host, "
                                 "insecure, request_timeout_sec and header are known",
                                 name.str()));
    }
  }
  if (insecure) {
    settings().registry.plain_http_hosts.push_back(host);
  }
  if (host != registry) {
    WarnAt(mirror.source(),
           fmt::format("mirror {} of {} is not used: mirrors have no effect here", host, registry));
  }
  return OkStatus();
}

}  // namespace

StatusOr<ParsedSettings> ReadSettings(FileSystem& files, const std::optional<std::string>& file) {
  const std::string path = file.value_or(std::string(kDefaultFile));
  const StatusOr<Bytes> text = ReadFile(files, path, kMaxFileBytes);
  if (text.ok()) {
    return ParseSettings(AsText(*text), path);
  }
  if (!file && text.status().code() == StatusCode::kNotFound) {
    return ParsedSettings();
  }
  return Annotate(text.status(), "configuration");
}

StatusOr<ParsedSettings> ParseSettings(std::string_view toml, std::string_view file) {
  ASSIGN_OR_RETURN(const toml::table document, ParseToml(toml, file));
  Reader reader(file);
  RETURN_IF_ERROR(reader.ReadTable(document, ""));
  const Settings::Credentials& credentials = reader.settings().credentials;
  if (credentials.image_credential_provider_config.empty() !=
      credentials.image_credential_provider_bin_dir.empty()) {
    return MakeError(StatusCode::kInvalidArgument,
                     fmt::format("{}: [credentials] image_credential_provider_config and "
                                 "image_credential_provider_bin_dir go together",
                                 file));
  }
  return std::move(reader.parsed());
}

Status CheckAbsolutePath(std::string_view what, std::string_view path) {
  if (path.empty() || path.front() != '/') {
    return MakeError(StatusCode::kInvalidArgument,
                     fmt::format("{} must be an absolute path, not \"{}\"", what, path));
  }
  return OkStatus();
}

}  // namespace starling::config
