#include "config/stargz_import.h"

#include <algorithm>
#include <functional>
#include <map>

#include "base/toml.h"
#include "base/toml_text.h"
#include "config/settings.h"

namespace starling::config {
namespace {

/// A key of theirs without one of ours, and why.
struct Without {
  std::string_view key;
  std::string_view why;
};

constexpr std::string_view kOwnCache =
    "what was fetched is kept on the disk, once, and read through "
    "the page cache; [store] max_size_bytes is its cap";
constexpr std::string_view kMeasured =
    "sizes and numbers of requests follow from what the link was measured to move";
constexpr std::string_view kRetries = "waits between tries are chosen by what failed";
constexpr std::string_view kForEver =
    "layers never change, so the kernel may keep what it was told "
    "for ever";
constexpr std::string_view kNoPassthrough =
    "complete layers are read by the kernel itself ([mount] data_plane)";
constexpr std::string_view kKeeper =
    "starlingd is its own keeper of mounts; there is nothing to turn "
    "on";

// Source: stargz-snapshotter v0.18.2, fs/config, service and cmd/containerd-stargz-grpc.
constexpr Without kWithout[] = {
    {"http_cache_type", kOwnCache},
    {"filesystem_cache_type", kOwnCache},
    {"directory_cache.max_lru_cache_entry", kOwnCache},
    {"directory_cache.max_cache_fds", kOwnCache},
    {"directory_cache.sync_add", "bytes are on the disk before a chunk counts as held"},
    {"directory_cache.direct", kOwnCache},
    {"directory_cache.fadv_dontneed", kOwnCache},
    {"resolve_result_entry_ttl_sec", "what was resolved is kept by its digest"},
    {"resolve_result_entry", "what was resolved is kept by its digest"},
    {"prefetch_timeout_sec", "containers never wait for a prefetch"},
    {"prefetch_async_size", "containers never wait for a prefetch"},
    {"max_concurrency", kMeasured},
    {"log_file_access", "`starling profile record` tells what an image's run reads"},
    {"no_prometheus", "it is a switch of their metrics"},
    {"debug_address", "there is no profiler to connect to"},
    {"ipfs", "images come from registries only"},
    {"metadata_store", "a layer's index is a file that is mapped, and needs no database"},
    {"blob.valid_interval", "a registry is asked when bytes are needed, and not before"},
    {"blob.check_always", "a registry is asked when bytes are needed, and not before"},
    {"blob.chunk_size", kMeasured},
    {"blob.prefetch_chunk_size", kMeasured},
    {"blob.force_single_range_mode", "requests have one range each"},
    {"blob.min_wait_msec", kRetries},
    {"blob.max_wait_msec", kRetries},
    {"fuse.attr_timeout", kForEver},
    {"fuse.entry_timeout", kForEver},
    {"fuse.passthrough", kNoPassthrough},
    {"fuse.merge_buffer_size", kNoPassthrough},
    {"fuse.merge_worker_count", kNoPassthrough},
    {"kubeconfig_keychain.enable_keychain",
     "Kubernetes is not asked; name files of pull secrets in [credentials] pull_secrets, or let "
     "kubelet pull through [cri] image_socket"},
    {"kubeconfig_keychain.kubeconfig_path",
     "Kubernetes is not asked; name files of pull secrets in [credentials] pull_secrets, or let "
     "kubelet pull through [cri] image_socket"},
    {"snapshotter.allow_invalid_mounts_on_restart",
     "a restart does not ask a registry, so no mount is invalid after it"},
    {"fuse_manager.enable", kKeeper},
    {"fuse_manager.address", kKeeper},
    {"fuse_manager.path", kKeeper},
    {"fuse_manager.metrics_address", kKeeper},
};

/// A key of theirs that means the same as one of ours.
struct With {
  std::string_view key;
  std::string_view table;
  std::string_view ours;
  bool is_negated = false;
};

constexpr With kWith[] = {
    {"resolver.request_timeout_sec", "registry", "request_timeout_sec"},
    {"blob.fetching_timeout_sec", "registry", "read_deadline_sec"},
    {"blob.max_retries", "registry", "max_retries"},
    {"prefetch_size", "fetch", "prefetch_size_bytes"},
    {"noprefetch", "fetch", "prefetch", true},
    {"no_background_fetch", "fetch", "background", true},
};

class Importer {
 public:
  explicit Importer(std::string_view file) : file_(file) {}

  void ReadTable(const toml::table& table, const std::string& path);
  ImportedSettings Finish();

 private:
  void Note(const toml::node& node, std::string_view key, std::string_view why) {
    notes_.push_back(fmt::format("{}:{}: {}: {}", file_, node.source().begin.line, key, why));
  }
  /// Puts `value` (TOML) there if it is a setting; else it is noted why not.
  void Set(const toml::node& node, std::string_view key, std::string_view table,
           std::string_view ours, const std::string& value);
  void ReadKey(const std::string& key, const toml::node& node);
  void ReadHosts(const toml::node& hosts);
  void ReadMirror(const std::string& registry, const toml::node& mirror);

  const std::string_view file_;
  std::map<std::string, std::map<std::string, std::string>> tables_;  // "": the top
  std::vector<std::string> plain_http_hosts_;
  struct Keychain {
    bool is_enabled = false;
    bool has_socket = false;
    const toml::node* node = nullptr;
  } keychain_;
  std::vector<std::string> notes_;
};

std::string InTable(std::string_view table, std::string_view key, std::string_view value) {
  return table.empty() ? fmt::format("{} = {}\n", key, value)
                       : fmt::format("[{}]\n{} = {}\n", table, key, value);
}

bool IsTable(std::string_view path) {
  const std::string prefix = std::string(path) + ".";
  const auto is_below = [&prefix](const auto& known) { return known.key.starts_with(prefix); };
  return path == "cri_keychain" || std::ranges::any_of(kWithout, is_below) ||
         std::ranges::any_of(kWith, is_below);
}

void Importer::Set(const toml::node& node, std::string_view key, std::string_view table,
                   std::string_view ours, const std::string& value) {
  const auto parsed = ParseSettings(InTable(table, ours, value), "");
  if (!parsed.ok()) {
    std::string_view why = MessageOf(parsed.status());
    // Without the place in what was made up here.
    for (int colons = 0; colons < 3 && why.find(':') != std::string_view::npos; ++colons) {
      why.remove_prefix(why.find(':') + 1);
    }
    Note(node, key, fmt::format("is not taken over:{}", why));
    return;
  }
  tables_[std::string(table)][std::string(ours)] = value;
}

void Importer::ReadKey(const std::string& key, const toml::node& node) {
  const auto number_or_flag = [&]() -> std::string {
    if (node.is_integer()) {
      return std::to_string(node.as_integer()->get());
    }
    return node.is_boolean() ? (node.as_boolean()->get() ? "true" : "false") : "";
  };
  if (const auto* const with = std::ranges::find(kWith, key, &With::key); with != std::end(kWith)) {
    std::string value = number_or_flag();
    if (with->is_negated) {
      value = node.is_boolean() ? (node.as_boolean()->get() ? "false" : "true") : "";
    }
    if (value.empty()) {
      Note(node, key, "is not taken over: it has another type than there");
      return;
    }
    Set(node, key, with->table, with->ours, value);
    return;
  }
  if (key == "allow_no_verification" || key == "disable_verification") {
    if (!node.is_boolean() || node.as_boolean()->get()) {
      Note(node, key,
           "layers are always verified; one without a TOC digest is fetched as a whole instead");
    }
    return;
  }
  if (key == "metrics_address") {
    if (!node.is_string()) {
      Note(node, key, "is not taken over: it has another type than there");
      return;
    }
    Set(node, key, "metrics", "address", TomlString(node.as_string()->get()));
    Note(node, key, "our metrics have other names (docs/metrics.md)");
    return;
  }
  if (key == "debug") {
    if (node.is_boolean() && node.as_boolean()->get()) {
      Set(node, key, "", "log_level", "\"debug\"");
    }
    return;
  }
  if (key == "cri_keychain.enable_keychain") {
    keychain_.is_enabled = node.is_boolean() && node.as_boolean()->get();
    keychain_.node = &node;
    return;
  }
  if (key == "cri_keychain.listen_path" || key == "cri_keychain.image_service_path") {
    const bool is_socket = key == "cri_keychain.listen_path";
    if (!node.is_string()) {
      Note(node, key, "is not taken over: it has another type than there");
      return;
    }
    keychain_.has_socket = keychain_.has_socket || is_socket;
    Set(node, key, "cri", is_socket ? "image_socket" : "backend",
        TomlString(node.as_string()->get()));
    return;
  }
  if (const auto* const without = std::ranges::find(kWithout, key, &Without::key);
      without != std::end(kWithout)) {
    Note(node, key, without->why);
    return;
  }
  Note(node, key, "is no key of containerd-stargz-grpc that is known here");
}

void Importer::ReadTable(const toml::table& table, const std::string& path) {
  for (const auto& [name, node] : table) {
    const std::string key = path + TomlKey(name.str());
    if (key == "resolver.host") {
      ReadHosts(node);
    } else if (node.is_table() && (IsTable(key) || key == "resolver")) {
      ReadTable(*node.as_table(), key + ".");
    } else {
      ReadKey(key, node);
    }
  }
}

void Importer::ReadHosts(const toml::node& hosts) {
  if (!hosts.is_table()) {
    Note(hosts, "resolver.host", "is not taken over: it has another type than there");
    return;
  }
  for (const auto& [registry, node] : *hosts.as_table()) {
    const toml::array* const mirrors =
        node.is_table() ? (*node.as_table())["mirrors"].as_array() : nullptr;
    if (mirrors == nullptr) {
      Note(node, "resolver.host." + TomlKey(registry.str()), "has no mirrors");
      continue;
    }
    for (const toml::node& mirror : *mirrors) {
      ReadMirror(std::string(registry.str()), mirror);
    }
  }
}

void Importer::ReadMirror(const std::string& registry, const toml::node& mirror) {
  const std::string key = "resolver.host." + TomlKey(registry);
  const toml::table* const table = mirror.as_table();
  const toml::node* const named = table == nullptr ? nullptr : table->get("host");
  if (table == nullptr || (named != nullptr && !named->is_string())) {
    Note(mirror, key, "is not taken over: it has another type than there");
    return;
  }
  const std::string host = named == nullptr ? registry : named->as_string()->get();
  const bool is_insecure = (*table)["insecure"].value_or(false);
  const auto is_host =
      ParseSettings(InTable("registry", "plain_http_hosts", TomlStrings({host})), "");
  if (!is_host.ok()) {
    Note(mirror, key, fmt::format("{} is no host or host:port", TomlString(host)));
    return;
  }
  if (is_insecure && std::ranges::count(plain_http_hosts_, host) == 0) {
    plain_http_hosts_.push_back(host);
  }
  if (table->contains("request_timeout_sec")) {
    Note(mirror, key + ".request_timeout_sec",
         "[registry] request_timeout_sec holds for all hosts");
  }
  if (host != registry || table->contains("header")) {
    Note(
        mirror, key,
        fmt::format("mirrors and headers are said in hosts.toml, as for containerd: in the "
                    "directory of {} below /etc/containerd/certs.d put [host.{}] and capabilities "
                    "= [\"pull\", \"resolve\"]{}",
                    TomlString(registry), TomlString((is_insecure ? "http://" : "https://") + host),
                    table->contains("header") ? ", and its headers" : ""));
  }
}

ImportedSettings Importer::Finish() {
  if (!plain_http_hosts_.empty()) {
    tables_["registry"]["plain_http_hosts"] = TomlStrings(plain_http_hosts_);
  }
  if (keychain_.is_enabled && !keychain_.has_socket) {
    tables_["cri"]["image_socket"] = TomlString("/run/starling/cri.sock");
    Note(*keychain_.node, "cri_keychain.enable_keychain",
         "theirs was served on the snapshotter's socket; ours needs one of its own, so kubelet's "
         "--image-service-endpoint has to be unix:///run/starling/cri.sock");
  } else if (!keychain_.is_enabled && tables_.contains("cri")) {
    tables_.erase("cri");  // it was off
  }
  ImportedSettings imported{.toml = "", .notes = std::move(notes_)};
  for (const auto& [table, keys] : tables_) {
    if (!table.empty()) {
      imported.toml += fmt::format("{}[{}]\n", imported.toml.empty() ? "" : "\n", table);
    }
    for (const auto& [key, value] : keys) {
      imported.toml += fmt::format("{} = {}\n", key, value);
    }
  }
  return imported;
}

/// Fit for a comment.
std::string Commented(std::string_view text) {
  std::string shown = "# ";
  for (const char c : text) {
    const auto byte = static_cast<unsigned char>(c);
    shown += byte < 0x20 || byte == 0x7f ? '?' : c;
  }
  return shown + '\n';
}

}  // namespace

StatusOr<ImportedSettings> ImportStargzConfig(std::string_view text, std::string_view file) {
  ASSIGN_OR_RETURN(const toml::table document, ParseToml(text, file));
  Importer importer(file);
  importer.ReadTable(document, "");
  return importer.Finish();
}

std::string AsFile(const ImportedSettings& imported, std::string_view file) {
  std::string text =
      Commented(fmt::format("From {}, a configuration of containerd-stargz-grpc.", file));
  text += imported.toml;
  if (!imported.notes.empty()) {
    text += "\n" + Commented("Of these keys there is no counterpart, or another one:");
    for (const std::string& note : imported.notes) {
      text += Commented(note);
    }
  }
  return text;
}

}  // namespace starling::config
