#include "dockerfile/plan/keys.h"

#include <fmt/format.h>

#include <optional>

#include "oci/json_fields.h"

namespace starling::dockerfile::plan {
namespace {

using oci::Json;

class Parts {
 public:
  explicit Parts(std::string_view operation) {
    Add("version", fmt::format("{}", kKeyVersion));
    Add("operation", std::string(operation));
  }
  void Add(std::string name, std::string value) {
    parts_.push_back({.name = std::move(name), .value = std::move(value)});
  }
  void AddJson(std::string name, const Json& value) { Add(std::move(name), oci::WriteJson(value)); }
  void AddIf(bool condition, std::string name, std::string value) {
    if (condition) {
      Add(std::move(name), std::move(value));
    }
  }
  std::vector<KeyPart> Take() { return std::move(parts_); }

 private:
  std::vector<KeyPart> parts_;
};

std::string_view NameOf(syntax::MountType type) {
  switch (type) {
    case syntax::MountType::kBind:
      return "bind";
    case syntax::MountType::kCache:
      return "cache";
    case syntax::MountType::kTmpfs:
      return "tmpfs";
    case syntax::MountType::kSecret:
      return "secret";
    case syntax::MountType::kSsh:
      return "ssh";
  }
  return "";
}

std::string MountText(const RunMount& mount) {
  Json json = {{"type", NameOf(mount.type)}, {"target", mount.target}};
  const auto put = [&json](const char* key, const auto& value) {
    if (value) {
      json[key] = *value;
    }
  };
  if (mount.type == syntax::MountType::kSecret || mount.type == syntax::MountType::kSsh) {
    json["id"] = mount.id;
    json["variable"] = mount.variable;
  }
  json["readOnly"] = mount.read_only;
  put("mode", mount.mode);
  put("uid", mount.uid);
  put("gid", mount.gid);
  put("size", mount.size_bytes);
  return oci::WriteJson(json);
}

std::string ModeText(const syntax::ModeChange& change) {
  if (change.octal) {
    return fmt::format("{:o}", *change.octal);
  }
  std::string text;
  for (const syntax::ModeChange::Clause& clause : change.clauses) {
    text += fmt::format("{}{}{}{}", text.empty() ? "" : ",", clause.who, clause.operation,
                        clause.permissions);
  }
  return text;
}

std::vector<KeyPart> Of(const Scratch& /*scratch*/) { return Parts("scratch").Take(); }

std::vector<KeyPart> Of(const ImageSource& image) {
  Parts parts("image");
  parts.Add("manifest", image.manifest.ToString());
  parts.Add("platform", image.platform.ToString());
  return parts.Take();
}

std::vector<KeyPart> Of(const ContextSource& /*context*/) { return Parts("context").Take(); }

std::vector<KeyPart> Of(const HttpSource& source) {
  Parts parts("http");
  parts.Add("url", source.url);
  return parts.Take();
}

std::vector<KeyPart> Of(const GitSource& source) {
  Parts parts("git");
  parts.Add("remote", source.reference.remote);
  return parts.Take();
}

std::vector<KeyPart> Of(const InlineSource& source) {
  Parts parts("files");
  for (const InlineSource::File& file : source.files) {
    parts.Add(file.name, file.content);
  }
  return parts.Take();
}

std::vector<KeyPart> Of(const Run& run) {
  Parts parts("run");
  parts.AddJson("command", run.arguments);
  parts.AddJson("environment", run.environment);
  parts.Add("working directory", run.working_directory);
  parts.Add("user", run.user);
  parts.AddIf(run.network == syntax::Network::kNone, "network", "none");
  parts.AddIf(run.network == syntax::Network::kHost, "network", "host");
  parts.AddIf(run.security == syntax::Security::kInsecure, "security", "insecure");
  for (size_t i = 0; i < run.mounts.size(); ++i) {
    parts.Add(fmt::format("mount {}", i), MountText(run.mounts[i]));
  }
  for (const syntax::Device& device : run.devices) {
    parts.Add("device", device.name);
  }
  if (run.script) {
    parts.Add("script " + run.script->name, run.script->content);
  }
  return parts.Take();
}

std::vector<KeyPart> Of(const Copy& copy) {
  Parts parts("copy");
  for (size_t i = 0; i < copy.sources.size(); ++i) {
    const CopySource& source = copy.sources[i];
    parts.AddJson(
        fmt::format("source {}", i),
        {{"path", source.path}, {"isPattern", source.is_pattern}, {"unpack", source.unpack}});
  }
  parts.Add("destination", copy.destination);
  parts.Add("owner", copy.chown);
  if (copy.chmod) {
    parts.Add("mode", ModeText(*copy.chmod));
  }
  parts.AddJson("exclude", copy.exclude);
  parts.AddIf(copy.parents, "parents", "true");
  parts.AddIf(copy.link, "link", "true");
  return parts.Take();
}

std::vector<KeyPart> Of(const MakeDirectory& directory) {
  Parts parts("directory");
  parts.Add("path", directory.path);
  parts.Add("user", directory.user);
  return parts.Take();
}

}  // namespace

std::vector<KeyPart> KeyPartsOf(const Operation& operation) {
  return std::visit([](const auto& value) { return Of(value); }, operation);
}

oci::Digest KeyOf(std::span<const KeyPart> parts) {
  // Lengths in front, so that no two lists of parts give the same bytes, whatever is in them.
  std::string text;
  for (const KeyPart& part : parts) {
    text += fmt::format("{}:{}{}:{}", part.name.size(), part.name, part.value.size(), part.value);
  }
  return oci::Digest::Of(AsBytes(text));
}

}  // namespace starling::dockerfile::plan
