#include "cdi/spec.h"

#include <algorithm>
#include <charconv>
#include <initializer_list>
#include <limits>

#include "oci/json_fields.h"
#include "yaml/to_json.h"

namespace starling::cdi {
namespace {

using oci::Json;

constexpr size_t kMaxNameBytes = 255;
constexpr std::string_view kHookNames[] = {"prestart",       "createRuntime", "createContainer",
                                           "startContainer", "poststart",     "poststop"};

Status Wrong(std::string_view place, std::string_view what) {
  return MakeError(StatusCode::kInvalidArgument, fmt::format("{}: {}", place, what));
}

bool IsLetter(char c) { return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z'); }
bool IsDigit(char c) { return c >= '0' && c <= '9'; }

/// Letters, digits and `more`, with a letter or a digit at both ends.
bool IsName(std::string_view text, std::string_view more) {
  const auto is_end = [](char c) { return IsLetter(c) || IsDigit(c); };
  return !text.empty() && text.size() <= kMaxNameBytes && is_end(text.front()) &&
         is_end(text.back()) && std::ranges::all_of(text, [&](char c) {
           return is_end(c) || more.find(c) != std::string_view::npos;
         });
}

/// An object, member by member. The first error stays.
class Members {
 public:
  Members(const Json& json, std::string place, std::initializer_list<std::string_view> known)
      : json_(json), place_(std::move(place)) {
    if (!json.is_object()) {
      status_ = Wrong(place_, "is no object");
      return;
    }
    for (const auto& [key, value] : json.items()) {
      if (std::find(known.begin(), known.end(), key) == known.end()) {
        status_ = Wrong(PlaceOf(key), "is not known");
        return;
      }
    }
  }

  std::string PlaceOf(std::string_view key) const {
    return place_.empty() ? std::string(key) : fmt::format("{}.{}", place_, key);
  }
  void Fail(Status status) {
    if (status_.ok()) {
      status_ = std::move(status);
    }
  }
  /// Null when it is absent, or something failed.
  const Json* Find(const char* key) const {
    return status_.ok() ? oci::FindField(json_, key) : nullptr;
  }

  std::string Text(const char* key) {
    const Json* value = Find(key);
    if (value == nullptr) {
      return "";
    }
    if (!value->is_string()) {
      Fail(Wrong(PlaceOf(key), "is no text"));
      return "";
    }
    return value->get<std::string>();
  }
  /// An absolute path.
  std::string Path(const char* key) {
    std::string path = Text(key);
    if (!path.empty() && path.front() != '/') {
      Fail(Wrong(PlaceOf(key), "is no absolute path"));
    }
    return path;
  }
  void Require(const char* key) {
    if (status_.ok() && Find(key) == nullptr) {
      Fail(Wrong(PlaceOf(key), "is missing"));
    }
  }
  std::vector<std::string> Texts(const char* key) {
    std::vector<std::string> texts;
    for (const Json& value : List(key)) {
      if (!value.is_string()) {
        Fail(Wrong(PlaceOf(key), "has something else than texts"));
        return {};
      }
      texts.push_back(value.get<std::string>());
    }
    return texts;
  }
  const Json& List(const char* key) {
    static const Json kNone = Json::array();
    const Json* value = Find(key);
    if (value == nullptr) {
      return kNone;
    }
    if (!value->is_array()) {
      Fail(Wrong(PlaceOf(key), "is no list"));
      return kNone;
    }
    return *value;
  }
  Annotations Map(const char* key) {
    Annotations map;
    const Json* value = Find(key);
    if (value == nullptr) {
      return map;
    }
    if (!value->is_object()) {
      Fail(Wrong(PlaceOf(key), "is no object"));
      return map;
    }
    for (const auto& [name, text] : value->items()) {
      if (!text.is_string()) {
        Fail(Wrong(PlaceOf(key), "has something else than texts"));
        return {};
      }
      map[name] = text.get<std::string>();
    }
    return map;
  }
  /// A number of JSON, or of YAML, where one with a leading zero is octal.
  template <typename Number>
  std::optional<Number> Integer(const char* key) {
    const Json* value = Find(key);
    if (value == nullptr) {
      return std::nullopt;
    }
    const auto number = NumberIn(*value);
    if (!number || *number < 0 ||
        static_cast<uint64_t>(*number) > uint64_t{std::numeric_limits<Number>::max()}) {
      Fail(Wrong(PlaceOf(key), "is no number that fits"));
      return std::nullopt;
    }
    return static_cast<Number>(*number);
  }
  static std::optional<int64_t> NumberIn(const Json& value) {
    if (value.is_number_integer()) {
      // What does not fit is not negative either.
      if (value.is_number_unsigned() && value.get<uint64_t>() > INT64_MAX) {
        return std::nullopt;
      }
      return value.get<int64_t>();
    }
    if (!value.is_string()) {
      return std::nullopt;
    }
    std::string_view text = value.get_ref<const std::string&>();
    int base = 10;
    if (text.size() > 1 && text.front() == '0') {
      base = 8;
      text.remove_prefix(text[1] == 'o' ? 2 : 1);
    }
    int64_t number = 0;
    const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), number, base);
    if (error != std::errc() || end != text.data() + text.size()) {
      return std::nullopt;
    }
    return number;
  }

  const Status& status() const { return status_; }

 private:
  const Json& json_;
  const std::string place_;
  Status status_;
};

StatusOr<DeviceNode> NodeIn(const Json& json, const std::string& place) {
  Members members(
      json, place,
      {"path", "hostPath", "type", "major", "minor", "fileMode", "permissions", "uid", "gid"});
  DeviceNode node{.path = members.Path("path"),
                  .host_path = members.Path("hostPath"),
                  .type = members.Text("type"),
                  .major = members.Integer<int64_t>("major"),
                  .minor = members.Integer<int64_t>("minor"),
                  .mode = members.Integer<uint32_t>("fileMode"),
                  .uid = members.Integer<uint32_t>("uid"),
                  .gid = members.Integer<uint32_t>("gid"),
                  .access = members.Text("permissions")};
  members.Require("path");
  RETURN_IF_ERROR(members.status());
  if (node.type.size() > 1 || std::string_view("cbup").find(node.type) == std::string_view::npos) {
    return Wrong(members.PlaceOf("type"), "is not one of c, b, u, p");
  }
  if (node.access.find_first_not_of("rwm") != std::string::npos) {
    return Wrong(members.PlaceOf("permissions"), "has something else than r, w, m");
  }
  return node;
}

StatusOr<Mount> MountIn(const Json& json, const std::string& place) {
  Members members(json, place, {"hostPath", "containerPath", "type", "options"});
  Mount mount{.host_path = members.Text("hostPath"),
              .container_path = members.Path("containerPath"),
              .type = members.Text("type"),
              .options = members.Texts("options")};
  members.Require("hostPath");
  members.Require("containerPath");
  RETURN_IF_ERROR(members.status());
  return mount;
}

StatusOr<Hook> HookIn(const Json& json, const std::string& place) {
  Members members(json, place, {"hookName", "path", "args", "env", "timeout"});
  Hook hook{.name = members.Text("hookName"),
            .path = members.Path("path"),
            .arguments = members.Texts("args"),
            .environment = members.Texts("env"),
            .timeout_seconds = members.Integer<int64_t>("timeout")};
  members.Require("hookName");
  members.Require("path");
  RETURN_IF_ERROR(members.status());
  if (std::ranges::find(kHookNames, hook.name) == std::end(kHookNames)) {
    return Wrong(members.PlaceOf("hookName"), "is the name of no hook");
  }
  return hook;
}

template <typename Value>
Status ReadList(Members& members, const char* key,
                StatusOr<Value> (*read)(const Json&, const std::string&),
                std::vector<Value>& into) {
  size_t number = 0;
  for (const Json& entry : members.List(key)) {
    ASSIGN_OR_RETURN(Value value,
                     read(entry, fmt::format("{}[{}]", members.PlaceOf(key), number++)));
    into.push_back(std::move(value));
  }
  return members.status();
}

StatusOr<Edits> EditsIn(const Json& json, const std::string& place) {
  Members members(
      json, place,
      {"env", "deviceNodes", "mounts", "hooks", "additionalGids", "intelRdt", "netDevices"});
  for (const char* key : {"intelRdt", "netDevices"}) {
    if (members.Find(key) != nullptr) {
      return MakeError(StatusCode::kUnimplemented,
                       fmt::format("{}: cannot be given to a container", members.PlaceOf(key)));
    }
  }
  Edits edits{.environment = members.Texts("env")};
  for (const std::string& variable : edits.environment) {
    if (variable.find('=') == std::string::npos) {
      members.Fail(Wrong(members.PlaceOf("env"), "has something else than NAME=VALUE"));
    }
  }
  RETURN_IF_ERROR(ReadList<DeviceNode>(members, "deviceNodes", NodeIn, edits.nodes));
  RETURN_IF_ERROR(ReadList<Mount>(members, "mounts", MountIn, edits.mounts));
  RETURN_IF_ERROR(ReadList<Hook>(members, "hooks", HookIn, edits.hooks));
  for (const Json& entry : members.List("additionalGids")) {
    const auto gid = Members::NumberIn(entry);
    if (!gid || *gid < 0 || *gid > UINT32_MAX) {
      return Wrong(members.PlaceOf("additionalGids"), "has something else than groups");
    }
    edits.additional_gids.push_back(static_cast<uint32_t>(*gid));
  }
  RETURN_IF_ERROR(members.status());
  return edits;
}

StatusOr<Edits> EditsOf(const Members& members) {
  const Json* edits = members.Find("containerEdits");
  return edits == nullptr ? Edits() : EditsIn(*edits, members.PlaceOf("containerEdits"));
}

StatusOr<Device> DeviceIn(const Json& json, const std::string& place) {
  Members members(json, place, {"name", "annotations", "containerEdits"});
  Device device{.name = members.Text("name"), .annotations = members.Map("annotations")};
  RETURN_IF_ERROR(members.status());
  if (!IsDeviceName(device.name)) {
    return Wrong(members.PlaceOf("name"), "is no name of a device");
  }
  ASSIGN_OR_RETURN(device.edits, EditsOf(members));
  return device;
}

}  // namespace

void Edits::Append(const Edits& others) {
  const auto append = [](auto& to, const auto& from) {
    to.insert(to.end(), from.begin(), from.end());
  };
  append(environment, others.environment);
  append(nodes, others.nodes);
  append(mounts, others.mounts);
  append(hooks, others.hooks);
  append(additional_gids, others.additional_gids);
}

bool IsKind(std::string_view kind) {
  const size_t slash = kind.find('/');
  return slash != std::string_view::npos && IsLetter(kind.front()) &&
         IsName(kind.substr(0, slash), "-_.") && IsName(kind.substr(slash + 1), "-_.");
}

bool IsDeviceName(std::string_view name) { return IsName(name, "-_.:"); }

StatusOr<Spec> ParseSpec(std::string_view text) {
  if (text.size() > kMaxSpecBytes) {
    return MakeError(StatusCode::kResourceExhausted,
                     fmt::format("{} bytes, at most {} are read", text.size(), kMaxSpecBytes));
  }
  ASSIGN_OR_RETURN(const std::vector<std::string> documents, yaml::ToJson(text));
  if (documents.size() != 1) {
    return MakeError(StatusCode::kInvalidArgument,
                     fmt::format("{} documents instead of one", documents.size()));
  }
  ASSIGN_OR_RETURN(const Json json,
                   oci::ParseJsonObject(AsBytes(documents.front()), kMaxSpecBytes * 6, "devices"));
  Members members(json, "", {"cdiVersion", "kind", "annotations", "devices", "containerEdits"});
  const std::string version = members.Text("cdiVersion");
  Spec spec{.kind = members.Text("kind"), .annotations = members.Map("annotations")};
  RETURN_IF_ERROR(members.status());
  // Members that a later version has are not known, and are found by that.
  if (!version.starts_with("0.") && !version.starts_with("1.")) {
    return Wrong("cdiVersion", fmt::format("'{}' is not 0.x or 1.x", version));
  }
  if (!IsKind(spec.kind)) {
    return Wrong("kind", "is not VENDOR/CLASS");
  }
  ASSIGN_OR_RETURN(spec.edits, EditsOf(members));
  RETURN_IF_ERROR(ReadList<Device>(members, "devices", DeviceIn, spec.devices));
  if (spec.devices.empty()) {
    return Wrong("devices", "there are none");
  }
  return spec;
}

}  // namespace starling::cdi
