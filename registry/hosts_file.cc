#include "registry/hosts_file.h"

#include <algorithm>
#include <charconv>
#include <cmath>

#include "base/toml.h"

namespace starling::registry {
namespace {

constexpr size_t kMaxHosts = 32;
constexpr size_t kMaxHeaders = 64;
constexpr size_t kMaxHeaderBytes = 16 << 10;
constexpr std::chrono::milliseconds kLongestDial = std::chrono::hours(1);

/// One file while it is read.
class Reader {
 public:
  explicit Reader(std::string_view file) : file_(file) {}

  StatusOr<std::vector<HostEntry>> ReadFile(const toml::table& file);

 private:
  Status ErrorAt(const toml::source_region& place, std::string_view what) const {
    return MakeError(
        StatusCode::kInvalidArgument,
        fmt::format("{}:{}:{}: {}", file_, place.begin.line, place.begin.column, what));
  }
  Status WrongType(const toml::node& node, std::string_view key, std::string_view wanted) const {
    return ErrorAt(node.source(), fmt::format("{} must be {}", key, wanted));
  }
  StatusOr<std::string> Text(const toml::node& node, std::string_view key) const;
  StatusOr<bool> Bool(const toml::node& node, std::string_view key) const;
  StatusOr<std::vector<std::string>> Texts(const toml::node& node, std::string_view key) const;
  Status ReadKey(std::string_view key, const toml::node& node, HostEntry& entry);
  Status ReadCapabilities(const toml::node& node, HostEntry& entry);
  Status ReadClient(const toml::node& node, HostEntry& entry);
  Status ReadHeaders(const toml::node& node, HostEntry& entry);
  Status ReadDialTimeout(const toml::node& node, HostEntry& entry);
  StatusOr<Url> ApiOf(const toml::source_region& place, std::string text, bool override_path) const;

  const std::string_view file_;
};

StatusOr<std::string> Reader::Text(const toml::node& node, std::string_view key) const {
  if (!node.is_string()) {
    return WrongType(node, key, "a text");
  }
  std::string text = node.as_string()->get();
  const bool is_plain = std::ranges::none_of(
      text, [](char c) { return static_cast<unsigned char>(c) < 0x20 || c == 0x7f; });
  if (!is_plain) {
    return ErrorAt(node.source(), fmt::format("{} holds control characters", key));
  }
  return text;
}

StatusOr<bool> Reader::Bool(const toml::node& node, std::string_view key) const {
  if (!node.is_boolean()) {
    return WrongType(node, key, "true or false");
  }
  return node.as_boolean()->get();
}

/// A text or a list of them.
StatusOr<std::vector<std::string>> Reader::Texts(const toml::node& node,
                                                 std::string_view key) const {
  std::vector<std::string> texts;
  if (!node.is_array()) {
    ASSIGN_OR_RETURN(std::string text, Text(node, key));
    texts.push_back(std::move(text));
    return texts;
  }
  for (const toml::node& element : *node.as_array()) {
    ASSIGN_OR_RETURN(std::string text, Text(element, key));
    texts.push_back(std::move(text));
  }
  return texts;
}

Status Reader::ReadCapabilities(const toml::node& node, HostEntry& entry) {
  ASSIGN_OR_RETURN(const std::vector<std::string> names, Texts(node, "capabilities"));
  if (names.empty()) {
    return OkStatus();
  }
  entry.can_pull = entry.can_resolve = entry.can_push = false;
  for (const std::string& name : names) {
    if (name == "pull") {
      entry.can_pull = true;
    } else if (name == "resolve") {
      entry.can_resolve = true;
    } else if (name == "push") {
      entry.can_push = true;
    } else if (name != "referrers") {  // those are asked of the registry itself
      return ErrorAt(node.source(),
                     fmt::format("unknown capability \"{}\": pull, resolve, push or referrers",
                                 Printable(name, 40)));
    }
  }
  return OkStatus();
}

/// One file, or a pair of them, in none, one or two lists.
Status Reader::ReadClient(const toml::node& node, HostEntry& entry) {
  const toml::node* pair = &node;
  if (const toml::array* list = node.as_array(); list != nullptr) {
    if (list->size() != 1) {
      return ErrorAt(node.source(),
                     "client: give one certificate, as \"FILE\" or [[\"CERTIFICATE\", \"KEY\"]]");
    }
    pair = list->get(0);
  }
  ASSIGN_OR_RETURN(const std::vector<std::string> files, Texts(*pair, "client"));
  if (files.empty() || files.size() > 2) {
    return ErrorAt(pair->source(), "client: a pair is [\"CERTIFICATE\", \"KEY\"]");
  }
  entry.client_certificate = files.front();
  entry.client_key = files.back();
  return OkStatus();
}

Status Reader::ReadHeaders(const toml::node& node, HostEntry& entry) {
  if (!node.is_table()) {
    return WrongType(node, "header", "a table");
  }
  for (const auto& [name, values] : *node.as_table()) {
    const std::string_view text = name.str();
    const bool is_name = !text.empty() && std::ranges::all_of(text, [](char c) {
      return (c >= '0' && c <= '9') || (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') ||
             c == '-' || c == '_';
    });
    if (!is_name) {
      return ErrorAt(values.source(),
                     fmt::format("\"{}\" is no name of a header", Printable(text, 60)));
    }
    ASSIGN_OR_RETURN(const std::vector<std::string> list, Texts(values, text));
    for (const std::string& value : list) {
      if (value.size() > kMaxHeaderBytes || entry.headers.size() == kMaxHeaders) {
        return ErrorAt(values.source(), "too many headers, or one that is too long");
      }
      entry.headers.push_back({.name = std::string(text), .value = value});
    }
  }
  return OkStatus();
}

/// As Go writes durations, in one unit: "500ms", "3s", "1.5m".
Status Reader::ReadDialTimeout(const toml::node& node, HostEntry& entry) {
  ASSIGN_OR_RETURN(const std::string text, Text(node, "dial_timeout"));
  double number = 0;
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), number);
  const std::string_view unit(end, static_cast<size_t>(text.data() + text.size() - end));
  const double milliseconds = unit == "ms"  ? number
                              : unit == "s" ? number * 1000
                              : unit == "m" ? number * 60 * 1000
                              : unit == "h" ? number * 3600 * 1000
                                            : -1;
  const bool is_good = error == std::errc() && milliseconds >= 1 &&
                       milliseconds <= static_cast<double>(kLongestDial.count());
  if (!is_good) {
    return ErrorAt(node.source(), "dial_timeout must be a time between 1ms and 1h, such as \"3s\"");
  }
  entry.dial_timeout = std::chrono::milliseconds(std::llround(milliseconds));
  return OkStatus();
}

Status Reader::ReadKey(std::string_view key, const toml::node& node, HostEntry& entry) {
  if (key == "capabilities") {
    return ReadCapabilities(node, entry);
  }
  if (key == "ca") {
    ASSIGN_OR_RETURN(const std::vector<std::string> files, Texts(node, key));
    entry.ca.assign(files.begin(), files.end());
    return OkStatus();
  }
  if (key == "client") {
    return ReadClient(node, entry);
  }
  if (key == "skip_verify") {
    ASSIGN_OR_RETURN(entry.skip_verify, Bool(node, key));
    return OkStatus();
  }
  if (key == "header") {
    return ReadHeaders(node, entry);
  }
  if (key == "dial_timeout") {
    return ReadDialTimeout(node, entry);
  }
  return ErrorAt(node.source(), fmt::format("unknown key \"{}\"", Printable(key, 60)));
}

StatusOr<Url> Reader::ApiOf(const toml::source_region& place, std::string text,
                            bool override_path) const {
  if (!text.starts_with("http://") && !text.starts_with("https://")) {
    text = "https://" + text;
  }
  if (text.find('@') != std::string::npos) {
    return ErrorAt(place,
                   "an address with a user name: credentials belong in docker's configuration");
  }
  StatusOr<Url> url = Url::Parse(text);
  if (!url.ok() || url->text().find('?') != std::string::npos) {
    return ErrorAt(place, fmt::format("\"{}\" is not the address of a registry: \"https://HOST\", "
                                      "\"http://HOST\" or \"HOST\"",
                                      Printable(text, 200)));
  }
  std::string path = url->text();
  while (path.ends_with('/')) {
    path.pop_back();
  }
  if (!override_path && !path.ends_with("/v2")) {
    path += "/v2";
  }
  return Url::Parse(path);
}

StatusOr<std::vector<HostEntry>> Reader::ReadFile(const toml::table& file) {
  struct Placed {
    toml::source_index line = 0;
    HostEntry entry;
  };
  std::vector<Placed> placed;
  HostEntry server;
  const auto read = [this](const toml::table& table, std::optional<std::string> address,
                           const toml::source_region& place, HostEntry& entry) -> Status {
    bool override_path = false;
    for (const auto& [key, node] : table) {
      if (key == "override_path") {
        ASSIGN_OR_RETURN(override_path, Bool(node, key.str()));
      } else if (key != "server" && key != "host") {
        RETURN_IF_ERROR(ReadKey(key.str(), node, entry));
      }
    }
    if (address) {
      ASSIGN_OR_RETURN(Url api, ApiOf(place, *std::move(address), override_path));
      entry.api = std::move(api);
    }
    return OkStatus();
  };

  if (const toml::node* hosts = file.get("host"); hosts != nullptr) {
    if (!hosts->is_table()) {
      return WrongType(*hosts, "host", "tables: [host.\"https://HOST\"]");
    }
    for (const auto& [name, node] : *hosts->as_table()) {
      if (!node.is_table()) {
        return WrongType(node, "host", "tables: [host.\"https://HOST\"]");
      }
      for (const std::string_view misplaced : {"server", "host"}) {
        if (const toml::node* wrong = node.as_table()->get(misplaced); wrong != nullptr) {
          return ErrorAt(wrong->source(),
                         fmt::format("{} belongs to the top of the file", misplaced));
        }
      }
      if (placed.size() == kMaxHosts) {
        return ErrorAt(node.source(), fmt::format("more than {} hosts", kMaxHosts));
      }
      Placed host{.line = node.source().begin.line, .entry = {}};
      RETURN_IF_ERROR(read(*node.as_table(), std::string(name.str()), node.source(), host.entry));
      placed.push_back(std::move(host));
    }
  }
  std::optional<std::string> address;
  toml::source_region place;
  if (const toml::node* node = file.get("server"); node != nullptr) {
    ASSIGN_OR_RETURN(std::string text, Text(*node, "server"));
    place = node->source();
    if (!text.empty()) {
      address = std::move(text);
    }
  }
  RETURN_IF_ERROR(read(file, std::move(address), place, server));

  // The parser sorts by name, but the order in the file is that of preference.
  std::ranges::stable_sort(placed, {}, &Placed::line);
  std::vector<HostEntry> hosts;
  hosts.reserve(placed.size() + 1);
  for (Placed& host : placed) {
    hosts.push_back(std::move(host.entry));
  }
  hosts.push_back(std::move(server));
  return hosts;
}

}  // namespace

StatusOr<std::vector<HostEntry>> ParseHostsFile(std::string_view text, std::string_view file) {
  ASSIGN_OR_RETURN(const toml::table document, ParseToml(text, file));
  return Reader(file).ReadFile(document);
}

}  // namespace starling::registry
