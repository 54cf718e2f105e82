#include "dockerfile/syntax/run_options.h"

#include <algorithm>
#include <array>
#include <charconv>

#include "base/text.h"
#include "dockerfile/syntax/paths.h"
#include "dockerfile/syntax/suggest.h"
#include "dockerfile/syntax/values.h"

namespace starling::dockerfile::syntax {
namespace {

constexpr std::string_view kTypes[] = {"bind", "cache", "tmpfs", "secret", "ssh"};
constexpr std::string_view kSharings[] = {"shared", "private", "locked"};

constexpr unsigned For(MountType type) { return 1U << static_cast<unsigned>(type); }
constexpr unsigned kFiles = For(MountType::kBind) | For(MountType::kCache);
constexpr unsigned kCredentials = For(MountType::kSecret) | For(MountType::kSsh);
constexpr unsigned kAny = kFiles | kCredentials | For(MountType::kTmpfs);

enum class Key {
  kType,
  kFrom,
  kSource,
  kTarget,
  kReadOnly,
  kReadWrite,
  kRequired,
  kSize,
  kId,
  kSharing,
  kMode,
  kUid,
  kGid,
  kEnv,
};

struct KeySpec {
  std::string_view name;
  Key key;
  unsigned types;  // that may have it
};

constexpr KeySpec kKeys[] = {
    {"type", Key::kType, kAny},
    {"from", Key::kFrom, kFiles},
    {"source", Key::kSource, kFiles | For(MountType::kSecret)},
    {"src", Key::kSource, kFiles | For(MountType::kSecret)},
    {"target", Key::kTarget, kAny},
    {"dst", Key::kTarget, kAny},
    {"destination", Key::kTarget, kAny},
    {"readonly", Key::kReadOnly, kFiles},
    {"ro", Key::kReadOnly, kFiles},
    {"readwrite", Key::kReadWrite, kFiles},
    {"rw", Key::kReadWrite, kFiles},
    {"required", Key::kRequired, kCredentials},
    {"size", Key::kSize, For(MountType::kTmpfs)},
    {"id", Key::kId, For(MountType::kCache) | kCredentials},
    {"sharing", Key::kSharing, For(MountType::kCache)},
    {"mode", Key::kMode, For(MountType::kCache) | kCredentials},
    {"uid", Key::kUid, For(MountType::kCache) | kCredentials},
    {"gid", Key::kGid, For(MountType::kCache) | kCredentials},
    {"env", Key::kEnv, For(MountType::kSecret)},
};

Status Invalid(std::string message) { return MakeError(StatusCode::kInvalidArgument, message); }

/// One record of CSV (RFC 4180).
StatusOr<std::vector<std::string>> SplitCsv(std::string_view text) {
  std::vector<std::string> fields;
  while (true) {
    std::string field;
    if (text.starts_with('"')) {
      text.remove_prefix(1);
      while (true) {
        const size_t quote = text.find('"');
        if (quote == std::string_view::npos) {
          return Invalid("a quote is not closed");
        }
        field += text.substr(0, quote);
        text.remove_prefix(quote + 1);
        if (!text.starts_with('"')) {
          break;
        }
        field += '"';
        text.remove_prefix(1);
      }
      if (!text.empty() && !text.starts_with(',')) {
        return Invalid("a quoted field must be followed by a comma");
      }
    } else {
      field = text.substr(0, text.find(','));
      if (field.find('"') != std::string::npos) {
        return Invalid("quotes must stand around a whole field");
      }
      text.remove_prefix(field.size());
    }
    fields.push_back(std::move(field));
    if (text.empty()) {
      return fields;
    }
    text.remove_prefix(1);
  }
}

StatusOr<uint32_t> ParseNumber(std::string_view text, int base) {
  uint32_t number = 0;
  const auto [at, error] = std::from_chars(text.data(), text.data() + text.size(), number, base);
  if (error != std::errc() || at != text.data() + text.size() || text.empty()) {
    return Invalid(fmt::format("'{}' is no {}number", text, base == 8 ? "octal " : ""));
  }
  return number;
}

template <typename Names>
StatusOr<size_t> ParseName(std::string_view text, const Names& names, std::string_view what) {
  const std::string lower = LowerCase(text);
  const auto* found = std::find(std::begin(names), std::end(names), lower);
  if (found == std::end(names)) {
    const std::string suggestion = Suggest(text, names);
    return Invalid(fmt::format("'{}' is no {}{}", text, what, DidYouMean(suggestion)));
  }
  return static_cast<size_t>(found - std::begin(names));
}

struct Field {
  const KeySpec* spec = nullptr;
  std::string value;
  bool has_value = false;
};

StatusOr<Field> ParseField(std::string_view text, const Expander& expand) {
  Field field;
  const size_t equals = text.find('=');
  const std::string key = LowerCase(text.substr(0, equals));
  field.has_value = equals != std::string_view::npos;
  if (field.has_value) {
    field.value = text.substr(equals + 1);
  }
  const auto* spec = std::find_if(std::begin(kKeys), std::end(kKeys),
                                  [&](const KeySpec& known) { return known.name == key; });
  if (spec == std::end(kKeys)) {
    std::vector<std::string_view> names;
    for (const KeySpec& known : kKeys) {
      names.push_back(known.name);
    }
    const std::string suggestion = Suggest(key, names);
    return Invalid(fmt::format("unexpected key '{}' in '{}'{}", key, text, DidYouMean(suggestion)));
  }
  field.spec = spec;
  const bool switches =
      spec->key == Key::kReadOnly || spec->key == Key::kReadWrite || spec->key == Key::kRequired;
  if (!switches && field.value.empty()) {
    return Invalid(fmt::format("'{}' needs a value: {}=VALUE", text, key));
  }
  if (!field.has_value) {
    field.value = "true";
  } else if (expand) {
    ASSIGN_OR_RETURN(field.value, expand(field.value));
  }
  return field;
}

/// `later`: the value has variables that are not known yet.
Status Apply(const Field& field, bool later, Mount& mount) {
  const std::string& value = field.value;
  switch (field.spec->key) {
    case Key::kFrom:
      mount.from = value;
      return OkStatus();
    case Key::kSource:
      mount.source = value;
      return OkStatus();
    case Key::kTarget:
      mount.target = value;
      return OkStatus();
    case Key::kId:
      mount.id = value;
      return OkStatus();
    case Key::kEnv:
      mount.variable = value;
      return OkStatus();
    default:
      break;
  }
  if (later) {
    return OkStatus();
  }
  switch (field.spec->key) {
    case Key::kType: {
      ASSIGN_OR_RETURN(const size_t type, ParseName(value, kTypes, "type of mount"));
      mount.type = static_cast<MountType>(type);
      return OkStatus();
    }
    case Key::kReadOnly: {
      ASSIGN_OR_RETURN(mount.read_only, ParseBool(value));
      return OkStatus();
    }
    case Key::kReadWrite: {
      ASSIGN_OR_RETURN(const bool writable, ParseBool(value));
      mount.read_only = !writable;
      return OkStatus();
    }
    case Key::kRequired: {
      ASSIGN_OR_RETURN(mount.required, ParseBool(value));
      return OkStatus();
    }
    case Key::kSize: {
      ASSIGN_OR_RETURN(mount.size_bytes, ParseSize(value));
      return OkStatus();
    }
    case Key::kSharing: {
      ASSIGN_OR_RETURN(const size_t sharing, ParseName(value, kSharings, "way of sharing"));
      mount.sharing = static_cast<CacheSharing>(sharing);
      return OkStatus();
    }
    case Key::kMode: {
      ASSIGN_OR_RETURN(mount.mode, ParseNumber(value, 8));
      return OkStatus();
    }
    case Key::kUid: {
      ASSIGN_OR_RETURN(mount.uid, ParseNumber(value, 10));
      return OkStatus();
    }
    case Key::kGid: {
      ASSIGN_OR_RETURN(mount.gid, ParseNumber(value, 10));
      return OkStatus();
    }
    default:
      return OkStatus();
  }
}

/// What is demanded of a mount as a whole.
Status CheckMount(const Mount& mount) {
  switch (mount.type) {
    case MountType::kBind:
    case MountType::kCache:
    case MountType::kTmpfs:
      if (mount.target.empty()) {
        return Invalid("a target is missing: target=PATH");
      }
      if (CleanPath(mount.target) == "/") {
        return Invalid("the target cannot be /");
      }
      return OkStatus();
    case MountType::kSecret:
      if (mount.id.empty() && mount.source.empty() && mount.target.empty()) {
        return Invalid("which secret? Name it: id=NAME");
      }
      return OkStatus();
    case MountType::kSsh:
      return OkStatus();
  }
  return OkStatus();
}

StatusOr<Mount> ReadMount(const Text& written, const Expander& expand) {
  ASSIGN_OR_RETURN(const std::vector<std::string> texts, SplitCsv(written.value));
  std::vector<Field> fields;
  for (const std::string& text : texts) {
    ASSIGN_OR_RETURN(Field field, ParseField(text, expand));
    fields.push_back(std::move(field));
  }
  const auto is_later = [&](const Field& field) {
    return !expand && field.value.find('$') != std::string::npos;
  };
  Mount mount;
  mount.written = written;
  bool type_known = true;
  for (const Field& field : fields) {
    if (field.spec->key == Key::kType) {
      type_known = !is_later(field);
      RETURN_IF_ERROR(Apply(field, is_later(field), mount));
    }
  }
  // A bind mount is not written to unless it says so.
  mount.read_only = mount.type == MountType::kBind;
  for (const Field& field : fields) {
    if (type_known && (field.spec->types & For(mount.type)) == 0) {
      return Invalid(fmt::format("a mount of type {} has no '{}'",
                                 kTypes[static_cast<size_t>(mount.type)], field.spec->name));
    }
    if (auto status = Apply(field, is_later(field), mount); !status.ok()) {
      return Annotate(status, field.spec->name);
    }
  }
  if (type_known) {
    RETURN_IF_ERROR(CheckMount(mount));
  }
  return mount;
}

StatusOr<Device> ReadDevice(std::string_view written) {
  ASSIGN_OR_RETURN(const std::vector<std::string> fields, SplitCsv(written));
  Device device;
  for (const std::string& field : fields) {
    const size_t equals = field.find('=');
    const std::string key = LowerCase(std::string_view(field).substr(0, equals));
    const bool has_value = equals != std::string::npos;
    if (key == "required") {
      device.required = true;
      if (has_value) {
        ASSIGN_OR_RETURN(device.required, ParseBool(std::string_view(field).substr(equals + 1)));
      }
      continue;
    }
    if (!device.name.empty()) {
      return Invalid(fmt::format("'{}': the device is already {}", field, device.name));
    }
    device.name = key == "name" && has_value ? field.substr(equals + 1) : field;
  }
  if (device.name.empty()) {
    return Invalid("a device's name is missing");
  }
  return device;
}

}  // namespace

Checked<Mount> ParseMount(const Text& written, const Expander& expand) {
  return CheckedAt(written.range, ReadMount(written, expand));
}

Checked<Device> ParseDevice(const Text& written) {
  return CheckedAt(written.range, ReadDevice(written.value));
}

}  // namespace starling::dockerfile::syntax
